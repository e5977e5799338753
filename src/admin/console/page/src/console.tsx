// The frame around the views: session, header with the verdict, problems, navigation.

import { useCallback, useEffect, useMemo, useRef, useState } from 'preact/hooks'
import { get, Refusal, send, type Session, type Status } from './api'
import { clock, seconds } from './format'
import { nodeTitle } from './kafka'
import { NodeContext, useNode, useNow } from './node'
import { Icon } from './parts/icon'
import { Problems } from './parts/problems'
import { PageHead } from './parts/small'
import { useKeys, usePolled } from './poll'
import { headline, level, notices, problems, type Problem } from './problems'
import { ALL_SOURCES, href, useRoute } from './route'
import { type Theme, storedTheme, storeTheme } from './theme'
import { VIEWS, type View, viewsOf } from './views'
import { Login } from './views/login'

const STATUS_EVERY_MS = 2_000
/** With this many sources the answer has megabytes, so the page asks less often. */
const MANY_SOURCES = 1_000
const MANY_EVERY_MS = 10_000
const SESSION_RETRY_MS = 2_000

export function Console () {
  const [session, setSession] = useState<Session | null>(null)
  const [failed, setFailed] = useState<Refusal | null>(null)

  const ask = useCallback(async () => {
    try {
      setSession(await get<Session>('/api/session'))
      setFailed(null)
    } catch (error) {
      if (!(error instanceof Refusal)) throw error
      setFailed(error)
    }
  }, [])
  useEffect(() => { void ask() }, [ask])
  useEffect(() => {
    if (!failed) return
    const timer = setTimeout(ask, SESSION_RETRY_MS)
    return () => clearTimeout(timer)
  }, [failed, ask])

  if (!session) {
    return <main class="alone"><p class="loading" role="status">{failed ? `The node does not answer (${failed.message}). Retrying…` : 'Loading…'}</p></main>
  }
  if (session.needs_token && session.role === 'none') return <Login signedIn={setSession} />
  return <Frame session={session} changed={setSession} askAgain={ask} />
}

function Frame ({ session, changed, askAgain }: { session: Session; changed: (session: Session) => void; askAgain: () => void }) {
  const { view: id, rest } = useRoute()
  const [many, setMany] = useState(false)
  const polled = usePolled<Status>('/api/status', many ? MANY_EVERY_MS : STATUS_EVERY_MS)
  const { data: status, error } = polled
  // Before the first answer it is not known which views there are.
  const views = viewsOf(status)
  const view = (status ? views : VIEWS).find((one) => one.id === id) ?? views[0]!
  useEffect(() => setMany((status?.sources.length ?? 0) > MANY_SOURCES), [status])
  // A 401 means that the session has ended: the answer to /api/session leads to the sign-in page.
  useEffect(() => { if (error?.status === 401) askAgain() }, [error, askAgain])
  const arrived = useMemo(() => Date.now(), [status])
  const offset = status ? status.now_ms - arrived : 0
  const steady = useSteadyOffset(offset)
  const { reload } = polled
  const node = useMemo(() => ({ session, status, offset_ms: steady, stale: error !== null, reload }), [session, status, steady, error, reload])
  const found = useMemo(() => status ? problems(status) : [], [status])

  const main = useRef<HTMLElement>(null)
  const place = [view.id, ...rest].join('/')
  useEffect(() => {
    document.title = [rest[0] === ALL_SOURCES ? rest[1] : rest[0], view.name, 'Forebay'].filter(Boolean).join(' · ')
    main.current?.scrollTo(0, 0)
  }, [place])
  const first = useRef(true)
  useEffect(() => {
    // A screen reader hears the new view's title; the first view leaves the focus at the top of the page.
    if (first.current) first.current = false
    else main.current?.querySelector<HTMLElement>('h1')?.focus({ preventScroll: true })
  }, [place])

  useKeys({
    '/': (event) => {
      const filter = document.querySelector<HTMLElement>('[data-filter]')
      if (!filter) return
      event.preventDefault()
      filter.focus()
    },
    Escape: (event) => {
      const target = event.target as HTMLElement
      if (target.matches('[data-filter]')) target.blur()
    }
  })

  const Page = view.page
  return (
    <NodeContext.Provider value={node}>
      <a class="skip" href="#main" onClick={(event) => { event.preventDefault(); main.current?.focus() }}>Skip to the content</a>
      <div class={error ? 'frame stale' : 'frame'}>
        <Header found={found} changed={changed} />
        <Navigation views={views} current={view} />
        <main id="main" tabIndex={-1} ref={main} class={view.fills ? 'fills' : ''}>
          {error && <NoAnswer error={error} since={polled.failing_since} />}
          {/* The problems stand above the view, so neither is drawn before they are known: the view would jump. */}
          {status
            ? <><Problems found={found} /><Page rest={rest} /></>
            : <><PageHead title={view.name} /><p class="loading">Loading…</p></>}
        </main>
      </div>
    </NodeContext.Provider>
  )
}

/**
 * The clock's offset without small changes: answers take a varying time, and ages would jump back and forth.
 */
function useSteadyOffset (offset: number): number {
  const kept = useRef(offset)
  if (Math.abs(kept.current - offset) > 1_500) kept.current = offset
  return kept.current
}

function NoAnswer ({ error, since }: { error: Refusal; since: number | null }) {
  const [now, setNow] = useState(Date.now())
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 1_000)
    return () => clearInterval(timer)
  }, [])
  const what = error.status === 0 ? 'The node does not answer' : `The node answers with an error: ${error.message}`
  return (
    <div class="banner" role="alert">
      <Icon name="problem" />
      <p>
        <b>{what}{since && `, since ${clock(since)} UTC`}</b>{' '}
        <span aria-hidden="true">{since && `(${seconds((now - since) / 1_000)}). `}</span>
        What you see is the last data it sent. The page keeps asking every 2 seconds.
      </p>
    </div>
  )
}

function Header ({ found, changed }: { found: Problem[]; changed: (session: Session) => void }) {
  const { session, status, stale } = useNode()
  const signOut = async () => {
    await send('DELETE', '/api/session')
    changed(await get<Session>('/api/session'))
  }
  return (
    <header class="header">
      <a class="brand" href={href('live')} aria-label="Forebay, to the live view"><Mark /><span>Forebay</span></a>
      <Verdict found={found} />
      <div class="header-end">
        {status && <span class="node-name" title={`${nodeTitle(status)}, version ${status.version}`}>{status.node}</span>}
        {session.dev && <span class="label">dev</span>}
        {session.role === 'read' && <span class="label" title="You are signed in with the read-only token.">read only</span>}
        <ThemeButton />
        {session.needs_token && <button type="button" class="quiet-button" onClick={signOut} aria-label="Sign out" title="Sign out"><Icon name="out" /><span class="wide-only">Sign out</span></button>}
        <span class="sr" role="status">{stale ? 'The node does not answer.' : found.length ? found.map(({ title }) => title).join('. ') : ''}</span>
      </div>
    </header>
  )
}

/** What changes all the time stands at the end, and what has no room is cut: the bar keeps its height, and links stay in place. */
function Verdict ({ found }: { found: Problem[] }) {
  const { session, status, stale } = useNode()
  useNow()
  if (!status) return <p class="verdict">{stale ? 'No answer yet' : 'Loading…'}</p>
  if (stale) return <p class="verdict tone-quiet"><Icon name="quiet" size={18} /><span><b>No answer</b></span></p>
  const told = notices(status, session.live_view === 'off')
  const { verdict, detail } = headline(status, found, told)
  const worst = found.length ? level(found) : told.length ? 'notice' : 'well'
  const between = worst === 'well' ? ': ' : ' · '
  const listed = told.map(({ text }) => text).join(', ')
  return (
    <p class={`verdict tone-${worst}`}>
      <Icon name={worst} size={18} />
      <span title={[verdict, listed && `: ${listed}`, between, detail].join('')}>
        <b>{verdict}</b>
        {told.map(({ key, text, href: to }, index) => <span key={key}>{index ? ', ' : ': '}<a href={to}>{text}</a></span>)}
        <span class="verdict-detail">{between}{detail}</span>
      </span>
    </p>
  )
}

function Navigation ({ views, current }: { views: View[]; current: View }) {
  return (
    <nav class="nav" aria-label="Views">
      <ul>
        {views.map(({ id, name, icon }) => (
          <li key={id}><a href={href(id)} aria-current={id === current.id ? 'page' : undefined}><Icon name={icon} size={18} /><span>{name}</span></a></li>
        ))}
      </ul>
      <div class="nav-foot">
        <p><kbd>/</kbd> filter</p>
        <p><kbd>j</kbd> <kbd>k</kbd> move in Live</p>
        <p><kbd>Esc</kbd> close</p>
        <p>Times are UTC</p>
      </div>
    </nav>
  )
}

const NEXT_THEME: Record<Theme, Theme> = { system: 'light', light: 'dark', dark: 'system' }
const THEME_NAME: Record<Theme, string> = { system: 'Auto', light: 'Light', dark: 'Dark' }

function ThemeButton () {
  const [theme, setTheme] = useState(storedTheme)
  const change = () => {
    const next = NEXT_THEME[theme]
    storeTheme(next)
    setTheme(next)
  }
  const name = THEME_NAME[theme]
  return (
    <button type="button" class="quiet-button" onClick={change} aria-label={`${name} colours: change`} title={`Colours: ${name.toLowerCase()}`}>
      <Icon name="theme" /><span class="wide-only theme-name">{name}</span>
    </button>
  )
}

function Mark () {
  return (
    <svg class="mark" viewBox="0 0 32 32" width="22" height="22" aria-hidden="true" focusable="false">
      <path class="mark-wall" d="M5 6v16a4 4 0 0 0 4 4h14a4 4 0 0 0 4-4V6" fill="none" stroke-width="3" stroke-linecap="round" />
      <path class="mark-water" d="M9 15c2.3-2 4.7-2 7 0s4.7 2 7 0v7H9z" />
    </svg>
  )
}
