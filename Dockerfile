# The agent without build tools. Configure it by NATS_* variables, which its health check reads
# too, and by `--config`:
#
#   docker build --tag nats-insights-agent .
#   docker run --read-only --env NATS_URL --env NATS_USER --env NATS_PASSWORD nats-insights-agent

FROM python:3.13-slim-bookworm AS build

ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY agent agent

# nkeys comes as source only, so that all wheels are made here, and nothing is built below.
RUN pip wheel --wheel-dir /wheels . \
    && python -m venv --without-pip /opt/nats-insights \
    && pip --python /opt/nats-insights install --no-index /wheels/*.whl

FROM python:3.13-slim-bookworm

ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="nats-insights-agent" \
      org.opencontainers.image.description="Audits a NATS system from its system account" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"

COPY --from=build /opt/nats-insights /opt/nats-insights
ENV PATH=/opt/nats-insights/bin:$PATH

USER 65532:65532
STOPSIGNAL SIGTERM
# Healthy means that an agent answers, whatever it finds: `status` exits with the verdict.
HEALTHCHECK --interval=60s --timeout=10s --start-period=60s CMD ["nats-insights", "servers"]
ENTRYPOINT ["nats-insights"]
CMD ["run"]
