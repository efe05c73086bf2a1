import { isOwnCookie } from '../http/cookies.ts'
import { isObject } from '../lib/type-guards.ts'
import { type OptionTree, readOptionTree } from './option-tree.ts'
import { type GatewayOptions, isShared, optionOf } from './schema/index.ts'
import { basePath } from './schema/urls.ts'

/** One entry of `frontends`, as if it were a separate file. */
export interface FrontendTree {
  /** `frontends[0]` */
  name: string
  tree: OptionTree
  /** Variables of its own options, which take precedence over the environment. */
  ownVariables: string[]
}

/**
 * Splits `frontends` of a configuration file. Options beside them are defaults for each frontend.
 * @returns faults, or an entry for each frontend
 */
export function frontendTrees(file: OptionTree, path: string): FrontendTree[] | string {
  const { frontends } = file
  if (!Array.isArray(frontends) || frontends.length === 0) {
    return `frontends in ${path} must be a list: [{ "publicUrl": "https://…", "oidc": { … } }]`
  }
  return frontends.map((entry: unknown, index) => frontendTree(entry, `frontends[${index}]`, file, path))
}

function frontendTree(entry: unknown, name: string, common: OptionTree, path: string): FrontendTree {
  if (!isObject(entry)) {
    const faults = [`${name} in ${path} must be an object: { "publicUrl": "https://…", "oidc": { … } }`]
    return { name, tree: { ...common, faults, unusable: true }, ownVariables: [] }
  }
  const own = readOptionTree(entry, path)
  const faults = own.faults.map((fault) => `${name}.${fault}`)
  if (own.frontends !== undefined) faults.push(`${name}.frontends in ${path} has no meaning: remove it`)
  const values = new Map(common.values)
  for (const [key, given] of own.values) {
    const label = `${name}.${given.label}`
    values.set(key, { ...given, label })
    if (isShared(key)) faults.push(`${label} is for all frontends together: put it beside them`)
  }
  const upstreams = own.upstreams ?? common.upstreams
  const ownVariables = [...own.values.keys()].flatMap((key) => optionOf.get(key)?.env ?? [])
  return { name, tree: { path, values, upstreams, faults }, ownVariables }
}

/** Rules between frontends: gateway and browsers must be able to distinguish them. */
export function frontendFaults(all: GatewayOptions[], path: string): string[] {
  return [...faultsOfPairs(all, path), ...foreignCookies(all, path)]
}

/** No upstream of one frontend gets or sets a session or login cookie of another. */
function foreignCookies(all: GatewayOptions[], path: string): string[] {
  return all.flatMap(({ upstreams }, index) =>
    upstreams.flatMap(({ prefix, requestCookies, responseCookies }) =>
      [...new Set([...requestCookies, ...responseCookies])].flatMap((name) => {
        const owner = all.findIndex(({ cookie }, other) => other !== index && isOwnCookie(name, cookie.name))
        if (owner < 0) return []
        return `The upstream at ${prefix} of frontends[${index}] in ${path} names the cookie ${name}, which belongs to the gateway at frontends[${owner}] and passes neither way: remove it, or choose another cookie.name there`
      }),
    ),
  )
}

function faultsOfPairs(all: GatewayOptions[], path: string): string[] {
  return all.flatMap((one, index) =>
    all.slice(0, index).flatMap((other, before) => {
      const [names, place] = [`frontends[${index}]`, `in ${path}`]
      const { publicUrl, cookie } = one
      if (publicUrl.hostname !== other.publicUrl.hostname) return []
      const faults = []
      if (basePath(publicUrl) === basePath(other.publicUrl)) {
        faults.push(
          `${names}.publicUrl ${place} has host and path of frontends[${before}]: change one of the two`,
        )
      }
      if (cookie.name === other.cookie.name) {
        faults.push(
          `${names}.cookie.name ${place} is that of frontends[${before}], whose host is the same: give each its own, such as ${cookie.name}-${index}`,
        )
      }
      if (covers(one, other) || covers(other, one)) {
        faults.push(
          `${names}.publicUrl ${place} and an upstream of frontends[${before}] claim the same paths, or the other way round`,
        )
      }
      return faults
    }),
  )
}

/** Whether an upstream of one frontend has the paths of the other. */
function covers({ publicUrl, upstreams }: GatewayOptions, other: GatewayOptions): boolean {
  const base = `${basePath(other.publicUrl)}/`
  return (
    base.length > basePath(publicUrl).length + 1 &&
    upstreams.some(({ prefix }) => `${basePath(publicUrl)}${prefix}/`.startsWith(base))
  )
}
