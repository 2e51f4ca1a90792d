# syntax=docker/dockerfile:1
# Three stages: packages and addon, build, and an image that holds neither compiler nor npm cache.
# scripts/image_steps.mjs repeats these steps in a clean folder and runs the result as another user; the image itself
# was not built by the project's tests.
FROM node:24-bookworm AS packages
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci --ignore-scripts --no-audit --no-fund

FROM packages AS build
# The one package with native code; the headers come with this image's Node.
RUN npm_config_nodedir=/usr/local npm rebuild pkcs11js
COPY tsconfig.json ./
COPY scripts ./scripts
COPY src ./src
RUN npm run build && npm prune --omit=dev --ignore-scripts --no-audit --no-fund

FROM node:24-bookworm-slim
WORKDIR /app
# The young generation of V8 at its smallest: half the memory after a load. The code cache below is for this flag.
ENV NODE_ENV=production NODE_OPTIONS=--max-semi-space-size=1
COPY --from=build /app/package.json ./
# What is not in the bundle: the packages that a key or a terminal needs.
COPY --from=build /app/node_modules ./node_modules
COPY --from=build /app/dist ./dist
# The code cache, by the very Node.js that will run: it takes no other.
RUN node /app/dist/warm_up.js
# Pods of these plugins call their programs by name; in this image that is the command of that name.
RUN chmod 0755 /app/dist/main.js && for name in aws-encryption-provider vault-kubernetes-kms \
    okms-k8s-encryption-provider; do ln -s /app/dist/main.js /$name; done
# The folders that the node mounts over: ours, and closed to others. /var/lib/kmsplugin is server.stateDir.
RUN install -d -m 0700 -o 65532 -g 65532 /run/kmsplugin /etc/kmsplugin /var/lib/kmsplugin
# As in the images of those plugins: what a flag names without a leading slash is found from here.
WORKDIR /
USER 65532:65532
ENTRYPOINT ["node", "/app/dist/main.js"]
CMD ["serve"]
