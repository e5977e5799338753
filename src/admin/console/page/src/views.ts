// The table of views: the navigation and the routes. A new view is a file in views/ and a row here.

import type { ComponentType } from 'preact'
import type { Status } from './api'
import { isHidden } from './kafka'
import type { IconName } from './parts/icon'
import { Archive } from './views/archive'
import { Deliveries } from './views/deliveries'
import { Destinations } from './views/destinations'
import { Health } from './views/health'
import { Imports } from './views/imports'
import { Live } from './views/live'
import { Partitions } from './views/partitions'
import { Sources } from './views/sources'

export type View = {
  /** The first word of the view's address. */
  id: string
  name: string
  icon: IconName
  /** The page of the view. `rest`: what follows the id in the address. */
  page: ComponentType<{ rest: string[] }>
  /** Whether the view fills the window and scrolls inside. */
  fills?: boolean
}

export const VIEWS: View[] = [
  { id: 'live', name: 'Live', icon: 'live', page: Live, fills: true },
  { id: 'partitions', name: 'Partitions', icon: 'partitions', page: Partitions },
  { id: 'sources', name: 'Sources', icon: 'sources', page: Sources },
  { id: 'deliveries', name: 'Deliveries', icon: 'deliveries', page: Deliveries },
  { id: 'destinations', name: 'Destinations', icon: 'destinations', page: Destinations },
  { id: 'archive', name: 'Archive', icon: 'archive', page: Archive },
  { id: 'imports', name: 'Imports', icon: 'imports', page: Imports },
  { id: 'health', name: 'Health', icon: 'health', page: Health }
]

/** The views that make sense for a process. */
export const viewsOf = (status: Status | null): View[] => VIEWS.filter(({ id }) => !isHidden(id, status?.kafka))
