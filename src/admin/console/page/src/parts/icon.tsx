// The icons: 16 by 16, drawn with the text's colour. Each stands beside a word, so screen readers skip it.

const PATHS = {
  // States, each with a shape of its own.
  well: <><circle cx="8" cy="8" r="6.25" /><path d="m5.2 8.2 2 2 3.6-4.2" /></>,
  notice: <><path d="M8 1.9 14.6 13.6H1.4z" /><path d="M8 6.3v3.3M8 11.5v.2" /></>,
  problem: <><path d="M5.3 1.7h5.4l3.8 3.8v5.4l-3.8 3.8H5.3L1.5 10.9V5.5z" /><path d="M8 4.7v4M8 11v.2" /></>,
  quiet: <circle cx="8" cy="8" r="5.5" stroke-dasharray="2 2.3" />,
  busy: <><path d="M13.5 8A5.5 5.5 0 1 1 10 2.9" /><path d="M10 .9v2.6h2.6" /></>,
  parked: <><rect x="2" y="2" width="12" height="12" rx="2" /><path d="M6.3 11.5v-7h2.2a2.1 2.1 0 0 1 0 4.3H6.3" /></>,
  rejected: <><circle cx="8" cy="8" r="6.25" /><path d="m3.7 12.3 8.6-8.6" /></>,
  // Views.
  live: <><circle cx="8" cy="8" r="1.6" /><path d="M4.7 11.3a4.7 4.7 0 0 1 0-6.6m6.6 0a4.7 4.7 0 0 1 0 6.6M2.6 13.4a7.6 7.6 0 0 1 0-10.8m10.8 0a7.6 7.6 0 0 1 0 10.8" /></>,
  partitions: <><path d="M2 3.5h12M2 8h12M2 12.5h12" /><path d="M10.5 2v3M5 6.5v3M12 11v3" /></>,
  sources: <><circle cx="3.5" cy="3.5" r="1.9" /><circle cx="3.5" cy="12.5" r="1.9" /><circle cx="12.5" cy="8" r="1.9" /><path d="M5.4 3.5c3.5 0 2.5 4.5 5.2 4.5-2.7 0-1.7 4.5-5.2 4.5" /></>,
  deliveries: <><path d="m2 5 6-3 6 3v6.5l-6 3-6-3z" /><path d="m2 5 6 3 6-3M8 8v6.5" /></>,
  destinations: <><path d="M1.5 8h6" /><path d="M7.5 8c2.5 0 1.5-4.5 4-4.5M7.5 8c2.5 0 1.5 4.5 4 4.5" /><path d="M7.5 8h4" /><circle cx="13" cy="3.5" r="1.4" /><circle cx="13" cy="8" r="1.4" /><circle cx="13" cy="12.5" r="1.4" /></>,
  archive: <><path d="M1.8 2.5h12.4v3.5H1.8zM3 6v7.5h10V6" /><path d="M6.3 8.8h3.4" /></>,
  imports: <><path d="M8 1.5v8m-3-3 3 3 3-3" /><path d="M2 10.5v3h12v-3" /></>,
  health: <path d="M1 8.5h3l2-5.5 3.5 10 2-4.5H15" />,
  // Actions.
  pause: <path d="M5.5 3v10m5-10v10" />,
  play: <path d="M4.5 2.8v10.4L13 8z" />,
  copy: <><rect x="5.5" y="5.5" width="8" height="8.5" rx="1.5" /><path d="M10.5 5.5V3.5A1.5 1.5 0 0 0 9 2H4a1.5 1.5 0 0 0-1.5 1.5v6A1.5 1.5 0 0 0 4 11h1.5" /></>,
  close: <path d="m3.5 3.5 9 9m0-9-9 9" />,
  back: <path d="M9.5 3 4.5 8l5 5" />,
  next: <path d="m6 3 5 5-5 5" />,
  up: <path d="M8 13V3M3.8 7.2 8 3l4.2 4.2" />,
  theme: <><circle cx="8" cy="8" r="6" /><path d="M8 2a6 6 0 0 1 0 12z" fill="currentColor" /></>,
  out: <><path d="M6 2H3v12h3M6.5 8H14m-3-3 3 3-3 3" /></>,
  flush: <><path d="M3 14h10M8 1.5v8.5m-3.5-3.5L8 10l3.5-3.5" /></>
} as const

export type IconName = keyof typeof PATHS

export function Icon ({ name, size = 16 }: { name: IconName; size?: number }) {
  return (
    <svg class={`icon icon-${name}`} viewBox="0 0 16 16" width={size} height={size} fill="none" stroke="currentColor"
      stroke-width="1.5" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true" focusable="false">
      {PATHS[name]}
    </svg>
  )
}

/** A state: a shape and a word, tinted. */
export function State ({ icon, tone, word, title }: {
  icon: IconName; tone: 'well' | 'notice' | 'problem' | 'quiet'; word: string; title?: string | null
}) {
  return <span class={`state tone-${tone}`} title={title ?? undefined}><Icon name={icon} size={14} />{word}</span>
}
