# A Redis from the base image's own package source, for machines that cannot reach an image registry:
#   docker build --file deploy/redis.Dockerfile --build-arg BASE_IMAGE=NAME --tag vapo-redis .
#   REDIS_IMAGE=vapo-redis docker compose up
ARG BASE_IMAGE=python:3.11.14-slim-bookworm
FROM ${BASE_IMAGE}
RUN apt-get update && apt-get install -y --no-install-recommends redis-server && rm -rf /var/lib/apt/lists/*
USER redis
ENTRYPOINT ["redis-server"]
