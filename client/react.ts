import { createContext, createElement, type ReactNode, useContext, useEffect, useState } from 'react'
import type { BffClient, BffSession, BffUser } from './types.ts'

interface BffContext {
  client: BffClient
  /** Undefined until it is known. */
  session: BffSession | undefined
}

const Context = createContext<BffContext | undefined>(undefined)

export interface BffProviderProps {
  client: BffClient
  children?: ReactNode
}

/** Follows the session for the components in it. */
export function BffProvider({ client, children }: BffProviderProps): ReactNode {
  const [session, setSession] = useState<BffSession>()
  useEffect(() => client.onSession(setSession), [client])
  return createElement(Context.Provider, { value: { client, session } }, children)
}

/** The session as it is now, undefined until it is known. Renders again when it changes or ends, in any tab. */
export function useSession(): BffSession | undefined {
  return useBff().session
}

/** The signed-in user: undefined until it is known, null if no user is signed in. */
export function useUser(): Pick<BffUser, 'claims' | 'subject' | 'name'> | null | undefined {
  const { session } = useBff()
  if (!session) return undefined
  if (!session.isAuthenticated) return null
  const { claims, identity } = session
  return { claims, name: identity.name, subject: claims.find(({ type }) => type === 'sub')?.value ?? '' }
}

/** The client that was given to the provider. */
export function useBffClient(): BffClient {
  return useBff().client
}

function useBff(): BffContext {
  const context = useContext(Context)
  if (!context) throw new Error('There is no BffProvider around this component')
  return context
}
