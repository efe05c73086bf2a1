import type { IncomingMessage } from 'node:http'
import {
  constants,
  Http2ServerRequest,
  Http2ServerResponse,
  type IncomingHttpHeaders,
  type ServerHttp2Stream,
} from 'node:http2'

/**
 * An HTTP/2 request in the form of an HTTP/1.1 request, which the rest of the gateway expects: pseudo headers become
 * the corresponding HTTP/1.1 headers, and none of them can reach an upstream.
 */
export class GatewayRequest extends Http2ServerRequest {
  override readonly headers: IncomingHttpHeaders
  #pushedBytes = 0

  constructor(...[stream, headers, ...rest]: ConstructorParameters<typeof Http2ServerRequest>) {
    super(stream, headers, ...rest)
    this.headers = http1Headers(headers, stream)
  }

  /** Bytes of the body received so far, read or not. */
  get received(): number {
    return this.#pushedBytes + this.stream.readableLength
  }

  /** Node would end a truncated body as if it were complete. */
  override push(chunk: Buffer | null): boolean {
    this.#pushedBytes += chunk?.length ?? 0
    if (chunk !== null || !this.#isCutOff()) return super.push(chunk)
    if (this.stream.destroyed) this.destroy()
    return false
  }

  #isCutOff(): boolean {
    const { aborted, rstCode } = this.stream
    return aborted || rstCode !== constants.NGHTTP2_NO_ERROR
  }
}

/** An HTTP/2 response that behaves like an HTTP/1.1 one when the browser disconnects or the response is aborted. */
export class GatewayResponse extends Http2ServerResponse<GatewayRequest> {
  /** Node ends the stream as if it were complete when the browser disconnects. */
  // @ts-expect-error: an accessor in Node, but a property in its types.
  override get writableFinished(): boolean {
    return this.stream.writableFinished && !this.stream.aborted
  }

  // @ts-expect-error: likewise; Node's HTTP/2 response lacks it.
  override get destroyed(): boolean {
    return this.stream.destroyed
  }

  /** Node would reset with NO_ERROR, and browsers would treat a truncated response as complete. */
  override destroy(error?: Error): this {
    if (!this.stream.writableFinished) this.stream.close(constants.NGHTTP2_INTERNAL_ERROR)
    super.destroy(error)
    return this
  }
}

/** The stream of a request over HTTP/2, else undefined. */
export function http2Stream(request: IncomingMessage | GatewayRequest): ServerHttp2Stream | undefined {
  return request instanceof GatewayRequest ? request.stream : undefined
}

/** @see https://www.rfc-editor.org/rfc/rfc9113#section-8.3.1 */
function http1Headers(incoming: IncomingHttpHeaders, { endAfterHeaders }: ServerHttp2Stream) {
  const headers: IncomingHttpHeaders = {}
  for (const name in incoming) if (!name.startsWith(':')) headers[name] = incoming[name]
  const authority = incoming[':authority']
  if (authority !== undefined) headers['host'] = authority
  // HTTP/2 signals a body without a header.
  if (!endAfterHeaders && headers['content-length'] === undefined) headers['transfer-encoding'] = 'chunked'
  return headers
}
