# The grader, for instructors whose machine is not Linux.
#
#   docker build --tag dgm-grade .
#   docker run --rm --interactive --tty \
#     --security-opt seccomp=unconfined --security-opt apparmor=unconfined \
#     --security-opt systempaths=unconfined \
#     --volume "$PWD/export:/in:ro" --volume "$PWD/grades:/out" \
#     dgm-grade grade a1 /in --out /out
#
# The three options let bubblewrap make its own namespaces in the container;
# the self-test refuses to grade without them.
FROM python:3.12-slim-bookworm

RUN apt-get update \
 && apt-get install --yes --no-install-recommends bubblewrap \
 && rm --recursive --force /var/lib/apt/lists/*
RUN pip install --no-cache-dir torch --index-url \
      https://download.pytorch.org/whl/cpu
COPY . /course
RUN pip install --no-cache-dir --editable "/course[grading]"

# no root inside: what escapes from bubblewrap is still an ordinary user
RUN useradd --create-home grader && mkdir --mode 0777 /out
USER grader
WORKDIR /home/grader
ENTRYPOINT ["dgm"]
CMD ["grade", "--help"]
