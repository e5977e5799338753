// The detail of a table's row: beside the table, or above it on a narrow screen.

import type { ComponentChildren } from 'preact'
import { useEffect, useRef } from 'preact/hooks'
import { useKeys } from '../poll'
import { Icon } from './icon'

export function Side ({ label, title, actions, close, children }: {
  label: string; title: ComponentChildren; actions?: ComponentChildren; close: () => void; children: ComponentChildren
}) {
  const panel = useRef<HTMLElement>(null)
  // The element that opened the detail gets the focus back.
  const opener = useRef(document.activeElement as HTMLElement | null)
  const end = () => {
    close()
    opener.current?.focus()
  }
  useKeys({ Escape: end })
  useEffect(() => {
    const { top, bottom } = panel.current!.getBoundingClientRect()
    if (top < 0 || Math.min(bottom, top + 200) > innerHeight) panel.current!.scrollIntoView({ block: 'start' })
  }, [])
  return (
    <aside class="side" aria-label={label} ref={panel} tabIndex={-1}>
      <div class="detail-head">
        <h3>{title}</h3>
        {actions}
        <button type="button" class="quiet-button" onClick={end} aria-label="Close" title="Close (Esc)"><Icon name="close" /></button>
      </div>
      {children}
    </aside>
  )
}
