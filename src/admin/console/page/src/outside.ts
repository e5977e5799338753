// Text of clients may hold characters that turn the text around them: with U+202E, `evil` would read as
// `live`. Such characters are shown by their number. What is copied stays as it is.

import { options, type ComponentChild, type VNode } from 'preact'

const TURNING = /[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g

export function withoutTurns (text: string): string {
  return text.replace(TURNING, (c) => `\\u{${c.codePointAt(0)!.toString(16)}}`)
}

const shown = (child: ComponentChild): ComponentChild => typeof child === 'string' ? withoutTurns(child) : child

/** Guards every text of an element, so that no view can forget it. */
export function guardTexts () {
  const before = options.vnode
  options.vnode = (vnode: VNode) => {
    if (typeof vnode.type === 'string') {
      const props = vnode.props as { children?: ComponentChild | ComponentChild[]; title?: unknown }
      if (Array.isArray(props.children)) props.children = props.children.map(shown)
      else if (typeof props.children === 'string') props.children = withoutTurns(props.children)
      if (typeof props.title === 'string') props.title = withoutTurns(props.title)
    }
    before?.(vnode)
  }
}
