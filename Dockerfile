# The only place that names the base. The release pins it by digest, see .github/workflows/release.yml; to do so yourself:
#   docker buildx imagetools inspect node:24-bookworm-slim --format '{{.Manifest.Digest}}'
FROM node:24-bookworm-slim AS base

FROM base AS build
WORKDIR /app
COPY package.json package-lock.json ./
# Without install scripts: the only one, of the development dependency `node`, would fetch a second Node.
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY tsconfig.json tsconfig.build.json index.ts app.ts frontends.ts server.ts ./
COPY cli cli
COPY client client
COPY config config
COPY http http
COPY lib lib
COPY plugins plugins
COPY routes routes
RUN npm run build

# Issuer and API for trying the gateway out: compose.yaml builds it with --profile demo. Not for production.
FROM build AS demo
COPY demo demo
USER node
EXPOSE 4000 5000 5001
CMD ["node", "demo/container.ts"]

FROM base AS dependencies
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci --omit=dev --ignore-scripts --no-audit --no-fund
# Which packages are in the image (CycloneDX).
RUN npm sbom --package-lock-only --omit=dev --sbom-format=cyclonedx > sbom.cdx.json
# sodium-native brings its binaries for phones, Windows and macOS along, 17 MB of them.
RUN find node_modules/sodium-native/prebuilds -name '*.bare' -delete \
  && find node_modules/sodium-native/prebuilds -mindepth 1 -maxdepth 1 ! -name "$(node -p 'process.platform + "-" + process.arch')" -exec rm -r {} +

FROM base
LABEL org.opencontainers.image.title="fastify-bff" \
  org.opencontainers.image.description="Backend-for-Frontend gateway: OpenID Connect sessions, token renewal, and a proxy that keeps tokens out of the browser" \
  org.opencontainers.image.licenses="MIT" \
  org.opencontainers.image.url="https://github.com/fastify-bff/fastify-bff" \
  org.opencontainers.image.source="https://github.com/fastify-bff/fastify-bff" \
  org.opencontainers.image.documentation="https://github.com/fastify-bff/fastify-bff/blob/main/docs/production.md#container" \
  org.opencontainers.image.base.name="docker.io/library/node:24-bookworm-slim"
ENV NODE_ENV=production
WORKDIR /app
COPY package.json LICENSE ./
COPY --from=dependencies /app/sbom.cdx.json ./
COPY --from=dependencies /app/node_modules node_modules
COPY --from=build /app/dist dist
# Nothing in /app belongs to this user and nothing is written at run time: works on a read-only file system.
USER node
EXPOSE 3000
# Liveness only: a gateway whose Redis is away must not be restarted for it. /readyz is for the load balancer.
# With its own TLS the certificate is for the public name, which does not matter within this machine.
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 \
  CMD ["node", "-e", "require(process.env.TLS_CERT_FILE ? 'https' : 'http').get({ host: '127.0.0.1', port: process.env.PORT || 3000, path: '/healthz', rejectUnauthorized: false }, ({ statusCode }) => process.exit(statusCode === 200 ? 0 : 1)).on('error', () => process.exit(1))"]
STOPSIGNAL SIGTERM
# Node itself is process 1, so that the signal reaches it and not a shell or npm.
CMD ["node", "--enable-source-maps", "dist/server.js"]
