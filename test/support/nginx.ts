import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { findExecutable } from './executables.ts'
import { freePort } from './free-port.ts'
import { until } from './until.ts'

/** A real nginx in front of `origin` that caches every answer that it may, by URL only. */
export interface CachingNginx {
  url: string
  close(): Promise<void>
}

/** Resolves when it listens. `X-Cache` of its answers is `HIT` or `MISS`. */
export async function startNginx(origin: string): Promise<CachingNginx> {
  const folder = mkdtempSync(join(tmpdir(), 'fastify-bff-nginx-'))
  const port = await freePort()
  const file = join(folder, 'nginx.conf')
  writeFileSync(file, configuration(folder, port, origin))
  const args = ['-p', folder, '-e', join(folder, 'error.log'), '-c', file]
  const server = spawn(findNginx(), args, { stdio: ['ignore', 'ignore', 'inherit'] })
  const killWithUs = () => server.kill('SIGKILL')
  process.once('exit', killWithUs)
  const ended = once(server, 'exit').then(() => process.off('exit', killWithUs))
  const url = `http://127.0.0.1:${port}`
  await until(async () => (await fetch(`${url}/nginx-is-up`)).ok)
  return {
    url,
    async close() {
      server.kill('SIGTERM')
      await ended
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

/** One process, so that it runs as the user who runs the tests. */
function configuration(folder: string, port: number, origin: string): string {
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
  return `
daemon off;
master_process off;
pid ${join(folder, 'nginx.pid')};
events {}
http {
  access_log off;
  ${temporary.map((name) => `${name}_temp_path ${join(folder, name)};`).join('\n  ')}
  proxy_cache_path ${join(folder, 'cache')} keys_zone=shared:1m;
  server {
    listen 127.0.0.1:${port};
    location = /nginx-is-up { return 204; }
    location / {
      proxy_pass ${origin};
      proxy_set_header Host $http_host;
      proxy_cache shared;
      proxy_cache_key $request_uri;
      proxy_cache_valid any 10m;
      add_header X-Cache $upstream_cache_status always;
    }
  }
}
`
}

/** Debian installs it in a folder that is on the PATH of root only. */
function findNginx(): string {
  const searchPath = [process.env['PATH'] ?? '', '/usr/sbin', '/usr/local/sbin'].join(delimiter)
  const found = findExecutable(['nginx'], searchPath)
  if (!found) throw new Error('There is no nginx on the PATH: apt-get install nginx')
  return found
}
