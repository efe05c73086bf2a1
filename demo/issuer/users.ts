/** The claims of all users, by name, which is also their password. */
const users = new Map(
  ['alice', 'bob'].map((name) => {
    const display = `${name.charAt(0).toUpperCase()}${name.slice(1)} Example`
    const [given, family] = display.split(' ')
    const claims = {
      sub: name,
      name: display,
      given_name: given,
      family_name: family,
      preferred_username: name,
      email: `${name}@example.test`,
      email_verified: true,
    }
    return [name, claims] as const
  }),
)

export type UserClaims = typeof users extends Map<string, infer Claims> ? Claims : never

export function userClaims(sub: string): UserClaims | undefined {
  return users.get(sub)
}

export function isPasswordOf(name: string, password: string): boolean {
  return users.has(name) && password === name
}
