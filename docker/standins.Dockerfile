# Stand-ins for the third-party images of compose.yml, made of Debian's packages, for machines that can pull none.
# The same users, folders and programs as far as compose.yml sees them; the versions are Debian's. Only for tests.
ARG DEBIAN_IMAGE=debian:bookworm-slim
FROM ${DEBIAN_IMAGE} AS base
ENV DEBIAN_FRONTEND=noninteractive
RUN apt-get update -qq && rm -rf /usr/share/doc /usr/share/man

FROM base AS postgres
RUN groupadd -g 999 postgres && useradd -u 999 -g 999 -d /var/lib/postgresql postgres \
    && mkdir -p /etc/postgresql-common && echo 'create_main_cluster = false' > /etc/postgresql-common/createcluster.conf \
    && apt-get install -y -qq --no-install-recommends postgresql-15 > /dev/null \
    && mkdir -p /var/lib/postgresql/data /var/run/postgresql && chown 999:999 /var/lib/postgresql/data /var/run/postgresql
ENV PATH=/usr/lib/postgresql/15/bin:/usr/local/bin:/usr/bin:/bin

FROM base AS redis
RUN groupadd -g 999 redis && useradd -u 999 -g 999 redis && apt-get install -y -qq --no-install-recommends redis-server > /dev/null \
    && mkdir -p /data && chown 999:999 /data
WORKDIR /data

FROM base AS nginx
RUN groupadd -g 101 nginx && useradd -u 101 -g 101 nginx && apt-get install -y -qq --no-install-recommends nginx-light openssl > /dev/null

FROM base AS prometheus
RUN apt-get install -y -qq --no-install-recommends prometheus > /dev/null && mkdir -p /prometheus && chown 65534:65534 /prometheus
ENTRYPOINT ["prometheus"]

FROM base AS alertmanager
RUN apt-get install -y -qq --no-install-recommends prometheus-alertmanager > /dev/null && mkdir -p /alertmanager && chown 65534:65534 /alertmanager
ENTRYPOINT ["prometheus-alertmanager"]

FROM base AS node-exporter
RUN apt-get install -y -qq --no-install-recommends prometheus-node-exporter > /dev/null
ENTRYPOINT ["prometheus-node-exporter"]

FROM base AS postgres-exporter
RUN apt-get install -y -qq --no-install-recommends prometheus-postgres-exporter > /dev/null
ENTRYPOINT ["prometheus-postgres-exporter"]

FROM base AS redis_exporter
RUN apt-get install -y -qq --no-install-recommends prometheus-redis-exporter > /dev/null
ENTRYPOINT ["prometheus-redis-exporter"]
