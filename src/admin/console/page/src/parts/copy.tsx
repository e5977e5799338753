// A button that copies a text, and a block of code with one.

import { useEffect, useState } from 'preact/hooks'
import { Icon } from './icon'

/**
 * Copies a text. Browsers offer the clipboard only on https and localhost; elsewhere a selection is copied.
 */
async function copyText (text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text)
    return true
  } catch {
    const field = document.createElement('textarea')
    field.value = text
    field.setAttribute('readonly', '')
    field.className = 'off-screen'
    document.body.append(field)
    const focused = document.activeElement as HTMLElement | null
    field.select()
    const copied = document.execCommand('copy')
    field.remove()
    focused?.focus()
    return copied
  }
}

export function CopyButton ({ text, what, small }: { text: () => string; what: string; small?: boolean }) {
  const [told, setTold] = useState<'' | 'Copied' | 'Not copied'>('')
  useEffect(() => {
    if (!told) return
    const timer = setTimeout(() => setTold(''), 2_000)
    return () => clearTimeout(timer)
  }, [told])
  const copy = async () => setTold(await copyText(text()) ? 'Copied' : 'Not copied')
  return (
    <button type="button" class={small ? 'copy small' : 'copy'} onClick={copy} aria-label={`Copy ${what}`} title={`Copy ${what}`}>
      <Icon name={told === 'Copied' ? 'well' : 'copy'} size={14} />
      {!small && <span class="copy-word">{told || 'Copy'}</span>}
      <span class="sr" role="status">{told}</span>
    </button>
  )
}

/** Lines break at blanks alone; a longer word scrolls. */
export function Code ({ text, what }: { text: string; what: string }) {
  return (
    <div class="code">
      <pre tabIndex={0} role="region" aria-label={what}><code>{text.split(/(\s+)/).map((part, index) => index % 2 ? part : <span key={index} class="word">{part}</span>)}</code></pre>
      <CopyButton text={() => text} what={what} />
    </div>
  )
}
