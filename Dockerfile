# The self-updating container. Why things are as they are: docs/container.md.
#
#   docker build -t my-app .                                   # the sample app, small
#   docker build -t my-app --build-arg APP=path/to/tree --build-arg VERSION=v1.2.3 .
#   docker build -t my-app --target debian .                   # on Debian, with apt-get

# By tag, so that a machine with these images and no registry can build. The release is built from
# their digests in scripts/base-images.lock, which CI renews; so can you: docker build $(sed
# 's/^/--build-arg /' scripts/base-images.lock) .
ARG NODE_IMAGE=node:24-bookworm-slim
ARG DEBIAN_IMAGE=debian:bookworm-slim

FROM ${NODE_IMAGE} AS program
WORKDIR /src
COPY package.json package-lock.json .npmrc ./
RUN npm ci
COPY tsconfig.json ./
COPY scripts/build.ts scripts/chart.ts scripts/chart-layout.ts scripts/dashboard.ts scripts/snapshot.ts scripts/statechart.ts scripts/
COPY test/support/machine.ts test/support/
COPY src src
COPY bin bin
RUN npm run build

FROM ${DEBIAN_IMAGE} AS parts
RUN apt-get update \
 && apt-get install -y --no-install-recommends binutils busybox-static ca-certificates runit socklog spawn-fcgi tini tzdata \
 && rm -rf /var/lib/apt/lists/*
COPY --from=program /usr/local/bin/node /parts/node
COPY --from=program /src/dist /parts/dist
COPY --from=program /src/bin /parts/bin
COPY docker /parts/docker
RUN /parts/docker/assemble
# The app that comes with the image: a tree as a release unpacks to. With GH_USER and GH_REPO it is
# that repository's, and nobody else's: then one image serves every repository.
ARG APP=examples/app
ARG VERSION=0.0.0
ARG GH_USER=
ARG GH_REPO=
ARG CREATED=
COPY ${APP}/ /parts/app/
RUN /parts/docker/bake "$VERSION" "$GH_USER" "$GH_REPO" "$CREATED"

FROM ${DEBIAN_IMAGE} AS debian
COPY --from=parts /layer/ /
COPY --from=parts /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
ARG VERSION=0.0.0
ARG GH_USER=
ARG GH_REPO=
ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    UPDATE_DIR=/data/self-update UPDATE_STRATEGY=download-then-kill GH_USER=$GH_USER GH_REPO=$GH_REPO
LABEL org.opencontainers.image.title="self-updating-container" \
      org.opencontainers.image.description="Follows a GitHub repository's releases and replaces its app in place" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="$VERSION"
VOLUME ["/data", "/run/self-update"]
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=15s --start-period=60s --retries=3 CMD ["/usr/lib/self-update/healthcheck"]
ENTRYPOINT ["/usr/lib/self-update/bin/tini", "-s", "--", "/usr/lib/self-update/init"]

# The default: nothing but what is needed, and what ordinary release binaries are linked against.
FROM scratch
COPY --from=parts /base/ /
COPY --from=parts /layer/ /
ARG VERSION=0.0.0
ARG GH_USER=
ARG GH_REPO=
ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    UPDATE_DIR=/data/self-update UPDATE_STRATEGY=download-then-kill GH_USER=$GH_USER GH_REPO=$GH_REPO
LABEL org.opencontainers.image.title="self-updating-container" \
      org.opencontainers.image.description="Follows a GitHub repository's releases and replaces its app in place" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="$VERSION"
VOLUME ["/data", "/run/self-update"]
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=15s --start-period=60s --retries=3 CMD ["/usr/lib/self-update/healthcheck"]
ENTRYPOINT ["/usr/lib/self-update/bin/tini", "-s", "--", "/usr/lib/self-update/init"]
