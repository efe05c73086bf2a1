import { readFile } from 'node:fs/promises'
import type { FastifyPluginAsync } from 'fastify'
import { transformWithOxc } from 'vite'

const files = ['index.ts', 'follow-session.ts', 'read-events.ts', 'silent-login.ts', 'types.ts']

/** `fastify-bff/client` for the sample page, as JavaScript. A frontend of its own bundles it. */
export const clientFiles: FastifyPluginAsync = async (app) => {
  for (const name of files) {
    app.get(`/client/${name}`, { config: { csrf: false } }, async (_request, reply) => {
      const url = new URL(`../client/${name}`, import.meta.url)
      const { code } = await transformWithOxc(await readFile(url, 'utf8'), name)
      return reply.type('text/javascript').send(code)
    })
  }
}
