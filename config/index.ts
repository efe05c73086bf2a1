export type { BffConfiguration } from './bff-configuration.ts'
export { describeConfig } from './describe.ts'
export { ConfigurationError } from './faults.ts'
export type { Environment } from './given.ts'
export { type LoadedConfig, loadConfig } from './load.ts'
export { resolveOptions, withoutRegisterOptions } from './plugin-options.ts'
export {
  type GatewayOptions,
  type TlsOptions,
  type UpstreamOptions,
  upstreamDefaults,
} from './schema/index.ts'
export type { ClientAuthenticationName, ResponseMode } from './schema/oidc.ts'
export { expiryOf, type KeyPair, type KeyPairFault, keyPairFaults } from './schema/pem.ts'
export {
  parseRedisUrl,
  type RedisAddress,
  type RedisCredentials,
  type RedisTarget,
} from './schema/redis-url.ts'
export { methods } from './schema/upstream-values.ts'
export { basePath, isLoopback } from './schema/urls.ts'
