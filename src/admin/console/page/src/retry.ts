// The command that imports rejected rows again. Pure.

/** Where commands look for a node by default. */
const DEFAULT_ADMIN = 'http://127.0.0.1:9180'

/** The command with the address of this page, if the command would not find the node by itself. */
export function retryCommand (command: string, origin: string): string {
  return origin === DEFAULT_ADMIN || !origin.startsWith('http:') ? command : `${command} --admin ${origin}`
}
