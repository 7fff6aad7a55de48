"""Graded assignments: public checks for students, a grader for instructors."""
