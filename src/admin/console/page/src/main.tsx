import { render } from 'preact'
import { Console } from './console'
import { applyTheme, storedTheme } from './theme'

applyTheme(storedTheme())
const root = document.getElementById('console')
if (root) {
  root.textContent = ''
  render(<Console />, root)
}
