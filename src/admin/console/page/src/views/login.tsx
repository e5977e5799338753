// The sign-in page: asks for the token.

import { useState } from 'preact/hooks'
import { Refusal, send, type Session } from '../api'
import { sentence } from '../format'
import { Icon } from '../parts/icon'

export function Login ({ signedIn }: { signedIn: (session: Session) => void }) {
  const [token, setToken] = useState('')
  const [wrong, setWrong] = useState<string | null>(null)
  const [busy, setBusy] = useState(false)

  const signIn = async (event: Event) => {
    event.preventDefault()
    setBusy(true)
    try {
      signedIn(await send<Session>('POST', '/api/session', { token }))
    } catch (error) {
      if (!(error instanceof Refusal)) throw error
      setWrong(error.status === 401 ? 'This node does not know this token.' : sentence(error.message))
      setBusy(false)
    }
  }

  return (
    <main class="alone">
      <form class="login card" onSubmit={signIn}>
        <h1>Forebay</h1>
        <p>Enter the <code>token</code> or the <code>read_token</code> that is set in the section <code>[admin]</code> of the node's configuration.</p>
        <div class="field">
          <label for="login-token">Token</label>
          <input id="login-token" type="password" autocomplete="current-password" value={token} required autofocus
            aria-invalid={wrong != null} aria-describedby="login-wrong" onInput={(event) => setToken(event.currentTarget.value)} />
        </div>
        <p id="login-wrong" class="login-wrong" role="alert">{wrong && <><Icon name="problem" size={14} /> {wrong}</>}</p>
        <button type="submit" class="primary" disabled={busy || !token}>Sign in</button>
        <p class="note">You stay signed in for 12 hours in this browser, or until the node restarts. The page keeps a cookie, not the token.</p>
      </form>
    </main>
  )
}
