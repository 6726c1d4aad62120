# One image for every process: the command says which. `docker compose up` uses it, see docker-compose.yml.
FROM python:3.11-slim AS build
WORKDIR /src
RUN python -m venv /opt/mindswarm
ENV PATH=/opt/mindswarm/bin:$PATH PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
COPY pyproject.toml README.md LICENSE ./
COPY mindswarm_exec mindswarm_exec
COPY workers workers
COPY scheduler scheduler
RUN pip install '.[api,client,cli,flower]'

FROM python:3.11-slim
RUN useradd --system --uid 10001 --home-dir /app --create-home mindswarm
COPY --from=build /opt/mindswarm /opt/mindswarm
WORKDIR /app
# agents of your own are mounted below /app, or go into an image made FROM this one
ENV PATH=/opt/mindswarm/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 MINDSWARM_LOG_FORMAT=json
USER mindswarm
EXPOSE 8420 5555
# what can be asked of every process: does it reach its ledger? docker-compose.yml asks more of each
HEALTHCHECK --interval=10s --timeout=8s --start-period=20s --retries=3 CMD ["mindswarm-exec", "probe"]
ENTRYPOINT ["mindswarm-exec"]
CMD ["api"]
