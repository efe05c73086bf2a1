import { once } from 'node:events'
import { connect, type Socket } from 'node:net'

/** Connections to a server that send one request after another and look at each answer. */
export interface Load {
  /**
   * Sends so many requests, on all connections at once. Rejects with the first answer that is wrong.
   * @returns latencies in milliseconds
   */
  run(path: string, body: Buffer, count: number): Promise<number[]>
  close(): void
}

/** How long an answer may take, in milliseconds. */
const answerMs = 60_000

/** @param cookies spread over the connections, each of which uses its own in turn */
export async function openLoad(port: number, connections: number, cookies: string[]): Promise<Load> {
  const clients = await Promise.all(
    Array.from({ length: connections }, (_, i) => {
      const own = cookies.filter((_cookie, index) => index % connections === i)
      return openClient(port, own.length > 0 ? own : [cookies[i % cookies.length] ?? ''])
    }),
  )
  return {
    async run(path, body, count) {
      let left = count
      const takeOne = () => left-- > 0
      return (await Promise.all(clients.map((client) => client.run(path, body, takeOne)))).flat()
    },
    close() {
      for (const client of clients) client.close()
    },
  }
}

async function openClient(port: number, cookies: string[]) {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true })
  await once(socket, 'connect')
  const headers = [
    `Host: localhost:${port}`,
    'X-CSRF: 1',
    'Accept: */*',
    'Accept-Encoding: gzip, deflate, br',
    'Accept-Language: en-GB,en;q=0.9',
    'Sec-Fetch-Site: same-origin',
    'Sec-Fetch-Mode: cors',
    'Sec-Fetch-Dest: empty',
    'User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36',
  ]
  return {
    async run(path: string, body: Buffer, takeOne: () => boolean): Promise<number[]> {
      const requests = cookies.map(
        (cookie) => `GET ${path} HTTP/1.1\r\n${headers.join('\r\n')}\r\nCookie: ${cookie}\r\n\r\n`,
      )
      let next = 0
      const send = () => socket.write(requests[next++ % requests.length] ?? '')
      const latencies: number[] = []
      if (!takeOne()) return latencies
      const { promise, resolve, reject } = Promise.withResolvers<number[]>()
      const tooLong = setTimeout(() => reject(new Error('No answer in time')), answerMs)
      let sentAt = performance.now()
      const reader = createReader(
        body,
        () => {
          const now = performance.now()
          latencies.push(now - sentAt)
          tooLong.refresh()
          if (!takeOne()) return resolve(latencies)
          sentAt = now
          send()
        },
        reject,
      )
      const onClose = () => reject(new Error('The server closed its connection'))
      socket.on('data', reader).on('error', reject).once('close', onClose)
      send()
      return promise.finally(() => {
        clearTimeout(tooLong)
        socket.off('data', reader).off('error', reject).off('close', onClose)
      })
    },
    close: () => void (socket satisfies Socket).destroy(),
  }
}

/** Reads answers with this body and `Content-Length`. */
function createReader(body: Buffer, onAnswer: () => void, onWrong: (error: Error) => void) {
  let head = ''
  /** Bytes of the body that came so far. Unset: in the head. */
  let read: number | undefined
  return (chunk: Buffer): void => {
    let rest = chunk
    if (read === undefined) {
      const end = rest.indexOf('\r\n\r\n')
      head += rest.toString('latin1', 0, end < 0 ? rest.length : end + 2)
      if (end < 0) return
      rest = rest.subarray(end + 4)
      const isRight =
        head.startsWith('HTTP/1.1 200 ') &&
        head.toLowerCase().includes(`\r\ncontent-length: ${body.length}\r\n`)
      if (!isRight) {
        onWrong(new Error(`A wrong answer:\n${head}${rest.toString()}`))
        return
      }
      head = ''
      read = 0
    }
    if (body.compare(rest, 0, rest.length, read, read + rest.length) !== 0) {
      onWrong(new Error('A wrong body'))
      return
    }
    read += rest.length
    if (read < body.length) return
    read = undefined
    onAnswer()
  }
}
