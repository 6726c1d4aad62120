# One image for every process: the command says which. `docker compose up` uses it, see docker-compose.yml.
FROM python:3.11-slim AS build
WORKDIR /src
RUN python -m venv /opt/mindswarm
ENV PATH=/opt/mindswarm/bin:$PATH PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
COPY pyproject.toml README.md LICENSE ./
COPY mindswarm_exec mindswarm_exec
COPY workers workers
COPY scheduler scheduler
# it is this tree that is installed: there is no version to name
# hadolint ignore=DL3013
RUN pip install '.[api,client,cli,flower,otel,postgresql]'

FROM python:3.11-slim
# /archive: a volume that is mounted there for the first time becomes its user's
RUN groupadd --gid 10001 mindswarm && useradd --uid 10001 --gid 10001 --home-dir /app --no-create-home mindswarm \
    && install -d -o 10001 -g 10001 /archive
COPY --from=build /opt/mindswarm /opt/mindswarm
WORKDIR /app
# agents of your own are mounted below /app, or go into an image made FROM this one, with what they need: its pip
# installs beside the engine. `USER root` before, `USER 10001:10001` after
ENV PATH=/opt/mindswarm/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 MINDSWARM_LOG_FORMAT=json
# in numbers: Kubernetes can then see that it is not root
USER 10001:10001
EXPOSE 8420 5555
# what can be asked of every process: does it reach its ledger? docker-compose.yml asks more of each
HEALTHCHECK --interval=30s --timeout=15s --start-period=30s --retries=3 CMD ["mindswarm-exec", "probe"]
ENTRYPOINT ["mindswarm-exec"]
CMD ["api"]
