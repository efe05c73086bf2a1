import { createBffClient } from 'fastify-bff/client'
import { BffProvider } from 'fastify-bff/react'
import { StrictMode } from 'react'
import { createRoot } from 'react-dom/client'
import { App } from './app.tsx'

const client = createBffClient({ onLoginRequired: () => client.login() })
const root = document.getElementById('root')
if (!root) throw new Error('index.html has no #root')
createRoot(root).render(
  <StrictMode>
    <BffProvider client={client}>
      <App />
    </BffProvider>
  </StrictMode>,
)
