import { render } from 'preact'
import { Console } from './console'
import { guardTexts } from './outside'
import { applyTheme, storedTheme } from './theme'

guardTexts()
applyTheme(storedTheme())
const root = document.getElementById('console')
if (root) {
  root.textContent = ''
  render(<Console />, root)
}
