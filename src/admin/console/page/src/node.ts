// What every view knows of the node: session, status, and its clock.

import { createContext } from 'preact'
import { useContext, useEffect, useState } from 'preact/hooks'
import type { Session, Status } from './api'
import { useVisible } from './poll'

export type Node = {
  session: Session
  status: Status | null
  /** The node's clock minus this machine's. */
  offset_ms: number
  /** Whether the last request for the status failed. */
  stale: boolean
  /** Asks for the status now. */
  reload: () => void
}

export const NodeContext = createContext<Node | null>(null)

export function useNode (): Node {
  const node = useContext(NodeContext)
  if (!node) throw new Error('no node above this component')
  return node
}

/** The node's clock, each second. */
export function useNow (): number {
  const { offset_ms } = useNode()
  const visible = useVisible()
  const [now, setNow] = useState(Date.now())
  useEffect(() => {
    if (!visible) return
    setNow(Date.now())
    const timer = setInterval(() => setNow(Date.now()), 1_000)
    return () => clearInterval(timer)
  }, [visible])
  return now + offset_ms
}
