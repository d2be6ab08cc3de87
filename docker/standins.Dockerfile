# Stand-ins for the third-party images of compose.yml, for machines that can pull none. One root file system holds the Debian
# packages of all of them (scripts/stack-images makes it); here each gets its name's settings. Only for tests.
ARG STANDINS_IMAGE=chavion-cache/standins
FROM ${STANDINS_IMAGE} AS base
LABEL chavion.standin=yes

FROM base AS postgres
ENV PATH=/usr/lib/postgresql/15/bin:/usr/local/bin:/usr/bin:/bin

FROM base AS redis
WORKDIR /data

FROM base AS nginx

FROM base AS prometheus
ENTRYPOINT ["prometheus"]

FROM base AS alertmanager
ENTRYPOINT ["prometheus-alertmanager"]

FROM base AS node-exporter
ENTRYPOINT ["prometheus-node-exporter"]

FROM base AS postgres-exporter
ENTRYPOINT ["prometheus-postgres-exporter"]

FROM base AS redis_exporter
ENTRYPOINT ["prometheus-redis-exporter"]
