// Light, dark, or as the system has it; remembered in this browser.

export type Theme = 'system' | 'light' | 'dark'

const KEY = 'forebay-theme'

export function storedTheme (): Theme {
  try {
    const stored = localStorage.getItem(KEY)
    return stored === 'light' || stored === 'dark' ? stored : 'system'
  } catch {
    // A browser may forbid storage; the choice then lasts as long as the page.
    return 'system'
  }
}

export function applyTheme (theme: Theme): void {
  if (theme === 'system') delete document.documentElement.dataset.theme
  else document.documentElement.dataset.theme = theme
}

export function storeTheme (theme: Theme): void {
  applyTheme(theme)
  try {
    if (theme === 'system') localStorage.removeItem(KEY)
    else localStorage.setItem(KEY, theme)
  } catch {
    // A browser may forbid storage; the choice then lasts as long as the page.
  }
}
