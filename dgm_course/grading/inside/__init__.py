"""What runs inside the sandbox; it imports nothing else of the package.

Student code shares a process with it: here is no test, no expected value and
no score.
"""
