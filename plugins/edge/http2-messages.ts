import type { IncomingMessage } from 'node:http'
import {
  constants,
  Http2ServerRequest,
  Http2ServerResponse,
  type IncomingHttpHeaders,
  type ServerHttp2Stream,
} from 'node:http2'

/**
 * A request by HTTP/2 in the terms of HTTP/1.1, in which all of the gateway thinks: what its pseudo headers say
 * stands where HTTP/1.1 says it, and none of them can get to an upstream.
 */
export class GatewayRequest extends Http2ServerRequest {
  override readonly headers: IncomingHttpHeaders
  #taken = 0

  constructor(...[stream, headers, ...rest]: ConstructorParameters<typeof Http2ServerRequest>) {
    super(stream, headers, ...rest)
    this.headers = http1Headers(headers, stream)
  }

  /** Bytes of the body so far, whether anybody has read them or not. */
  get received(): number {
    return this.#taken + this.stream.readableLength
  }

  /** Node ends a body that was cut off as if it were whole. */
  override push(chunk: Buffer | null): boolean {
    this.#taken += chunk?.length ?? 0
    if (chunk !== null || !this.#isCutOff()) return super.push(chunk)
    if (this.stream.destroyed) this.destroy()
    return false
  }

  #isCutOff(): boolean {
    const { aborted, rstCode } = this.stream
    return aborted || rstCode !== constants.NGHTTP2_NO_ERROR
  }
}

/** An answer by HTTP/2 that is as clear as one by HTTP/1.1 about a browser that has gone, and about breaking off. */
export class GatewayResponse extends Http2ServerResponse<GatewayRequest> {
  /** Node ends the stream of a browser that has gone, as if all had been said. */
  // @ts-expect-error: for the types, what Node has as accessors are properties.
  override get writableFinished(): boolean {
    return this.stream.writableFinished && !this.stream.aborted
  }

  // @ts-expect-error: likewise, and Node has none.
  override get destroyed(): boolean {
    return this.stream.destroyed
  }

  /** Node's own says NO_ERROR, for which browsers take half an answer for a whole one. */
  override destroy(error?: Error): this {
    if (!this.stream.writableFinished) this.stream.close(constants.NGHTTP2_INTERNAL_ERROR)
    super.destroy(error)
    return this
  }
}

/** What a request came on, if it came by HTTP/2. */
export function http2Stream(request: IncomingMessage | GatewayRequest): ServerHttp2Stream | undefined {
  return request instanceof GatewayRequest ? request.stream : undefined
}

/** @see https://www.rfc-editor.org/rfc/rfc9113#section-8.3.1 */
function http1Headers(incoming: IncomingHttpHeaders, { endAfterHeaders }: ServerHttp2Stream) {
  const headers: IncomingHttpHeaders = {}
  for (const name in incoming) if (!name.startsWith(':')) headers[name] = incoming[name]
  const authority = incoming[':authority']
  if (authority !== undefined) headers['host'] = authority
  // That there is a body, HTTP/2 says without a header.
  if (!endAfterHeaders && headers['content-length'] === undefined) headers['transfer-encoding'] = 'chunked'
  return headers
}
