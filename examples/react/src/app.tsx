import { useBffClient, useSession, useUser } from 'fastify-bff/react'
import { useState } from 'react'

export function App() {
  const client = useBffClient()
  const session = useSession()
  const user = useUser()
  const [time, setTime] = useState('')

  if (!session) return <p>Loading</p>
  if (!user) {
    const reason = session.isAuthenticated ? undefined : session.reason
    return (
      <>
        <p>Signed out{reason ? `: ${reason}` : ''}</p>
        <button type="button" onClick={() => client.login()}>
          Log in
        </button>
      </>
    )
  }

  async function askTime() {
    const response = await client.fetch('/api/gettime')
    setTime(await response.text())
  }
  return (
    <>
      <p>Hello {user.name}</p>
      <button type="button" onClick={askTime}>
        What time is it?
      </button>
      <output>{time}</output>
      <button type="button" onClick={() => client.logout()}>
        Log out
      </button>
    </>
  )
}
