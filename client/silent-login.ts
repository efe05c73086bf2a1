/**
 * Logs in in a hidden frame. The issuer shows nothing: without a session there, the outcome is false.
 * @see https://openid.net/specs/openid-connect-core-1_0.html#AuthRequest `prompt=none`
 */
export function silentLogin(url: URL, timeoutMs: number): Promise<boolean> {
  return new Promise((resolve) => {
    const frame = document.createElement('iframe')
    frame.hidden = true
    frame.src = url.href
    const finish = (isLoggedIn: boolean) => {
      clearTimeout(timer)
      removeEventListener('message', receive)
      frame.remove()
      resolve(isLoggedIn)
    }
    const receive = ({ origin, source, data }: MessageEvent) => {
      if (origin !== url.origin || source !== frame.contentWindow) return
      if (data?.source === 'bff-silent-login') finish(data.isLoggedIn === true)
    }
    // An issuer that answers with a page of its own, or not at all, sends no message.
    const timer = setTimeout(() => finish(false), timeoutMs)
    addEventListener('message', receive)
    document.body.append(frame)
  })
}
