# Oxbow's image: one static binary, certificate authorities, and an unprivileged user.
#
#   docker build --build-arg VERSION=1.0 -t oxbow:1.0 .                               # the usual one
#   docker build --build-arg VERSION=1.0 --target oxbow-ffmpeg -t oxbow:1.0-ffmpeg .  # with ffmpeg, for pictures

FROM --platform=$BUILDPLATFORM node:20-bookworm-slim AS web
WORKDIR /src/web
COPY web/package.json web/package-lock.json web/.npmrc ./
RUN npm ci --no-audit --no-fund --loglevel=error
COPY web/ ./
RUN npm run --silent build

FROM --platform=$BUILDPLATFORM golang:1.26-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
COPY --from=web /src/web/dist web/dist
# COMMIT and DATE (of the commit, RFC 3339) are for `oxbow --version`, and for the same bytes as `make build` has.
ARG VERSION=dev
ARG COMMIT=
ARG DATE=
ARG TARGETOS=linux
ARG TARGETARCH
RUN CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH go build -trimpath -buildvcs=false \
    -ldflags "-s -w -X main.version=$VERSION -X main.commit=$COMMIT -X main.date=$DATE" \
    -o /root-fs/usr/local/bin/oxbow ./cmd/oxbow
# The user that runs it, by name too, and the directories that it writes to. A volume takes the owner of what it covers.
RUN mkdir -p /root-fs/etc/ssl/certs /root-fs/data /root-fs/tmp && chmod 1777 /root-fs/tmp && \
    cp /etc/ssl/certs/ca-certificates.crt /root-fs/etc/ssl/certs/ && \
    echo 'oxbow:x:65532:65532:Oxbow:/data:/sbin/nologin' >/root-fs/etc/passwd && \
    echo 'oxbow:x:65532:' >/root-fs/etc/group && \
    chown -R 65532:65532 /root-fs/data

# The same with Debian's ffmpeg: archivers make the recordings' pictures with it, and serve those of its own.
FROM debian:bookworm-slim AS oxbow-ffmpeg
RUN apt-get update && apt-get install -y --no-install-recommends ffmpeg && rm -rf /var/lib/apt/lists/*
COPY --from=build /root-fs/usr/local/bin/oxbow /usr/local/bin/oxbow
COPY --from=build /root-fs/etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build --chown=65532:65532 /root-fs/data /data
LABEL org.opencontainers.image.title="Oxbow with ffmpeg" \
      org.opencontainers.image.description="Self-hosted live video CDN" \
      org.opencontainers.image.source="https://github.com/oxbow-video/oxbow"
ENV OXBOW_DATA=/data
USER 65532:65532
WORKDIR /data
VOLUME /data
EXPOSE 8080 8081 9090 1935 8890/udp
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 CMD ["/usr/local/bin/oxbow", "health"]
ENTRYPOINT ["/usr/local/bin/oxbow"]
CMD ["serve"]

FROM scratch AS oxbow
COPY --from=build /root-fs/ /
LABEL org.opencontainers.image.title="Oxbow" \
      org.opencontainers.image.description="Self-hosted live video CDN" \
      org.opencontainers.image.source="https://github.com/oxbow-video/oxbow"
ENV OXBOW_DATA=/data
USER 65532:65532
WORKDIR /data
VOLUME /data
EXPOSE 8080 8081 9090 1935 8890/udp
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 CMD ["/usr/local/bin/oxbow", "health"]
ENTRYPOINT ["/usr/local/bin/oxbow"]
CMD ["serve"]
