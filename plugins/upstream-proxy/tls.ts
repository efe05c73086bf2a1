import type { UpstreamOptions } from '../../config/index.ts'

export type TlsSettings = Pick<UpstreamOptions, 'ca' | 'clientCert' | 'clientKey' | 'serverName'>

/** How an upstream is known, and the gateway to it: for requests and WebSockets alike. @see node:tls */
export function tlsOptions({ ca, clientCert, clientKey, serverName }: TlsSettings) {
  return {
    // Or NODE_TLS_REJECT_UNAUTHORIZED would decide.
    rejectUnauthorized: true,
    ...(ca !== undefined && { ca }),
    ...(clientCert !== undefined && { cert: clientCert }),
    ...(clientKey !== undefined && { key: clientKey }),
    ...(serverName !== undefined && { servername: serverName }),
  }
}
