// Requests that were refused as a whole: none of their calls is in the list of calls.

import type { RefusedGroup } from '../api'
import { ago, plural } from '../format'
import { useNow } from '../node'
import { Icon } from '../parts/icon'
import { Ago, Empty, Facts, Prose } from '../parts/small'
import { groupKey, lately } from '../refused-list'

/** The most groups above the calls: more would push the calls off a small screen. */
const ABOVE_MAX = 2

/** The groups of late, above the calls, and the way to all of them. */
export function RefusedLately ({ groups, show }: { groups: RefusedGroup[]; show: () => void }) {
  const now = useNow()
  const recent = lately(groups, now)
  if (!recent.length) return null
  const more = recent.length - ABOVE_MAX
  return (
    <div class="refused">
      <ul>
        {recent.slice(0, ABOVE_MAX).map((group) => (
          <li key={groupKey(group)}>
            <Icon name="rejected" size={14} /> {plural(group.requests, 'request')} refused with {group.status} <code>{group.cause}</code>, <code>{group.method} {group.route}</code>
            {group.key && <>, key <code>{group.key}</code></>}, the last {ago(group.last_ms, now)}
          </li>
        ))}
      </ul>
      <button type="button" class="link-button" onClick={show}>{more > 0 ? `What to change, and ${plural(more, 'more kind')}` : 'What to change'}</button>
    </div>
  )
}

/** All groups with what to change, instead of the calls. */
export function RefusedRequests ({ groups, filtered }: { groups: RefusedGroup[]; filtered: boolean }) {
  if (!groups.length) {
    return (
      <Empty title={filtered ? 'No refused request fits the filter' : 'No request was refused'}>
        <p>Requests that are refused from now on appear here, by cause and client, with what to change.</p>
      </Empty>
    )
  }
  return (
    <div class="refused-groups" role="region" aria-label="Refused requests, the latest first" tabIndex={0}>
      <h2 class="sr">Refused requests</h2>
      <RefusedGroups groups={groups} />
    </div>
  )
}

export function RefusedGroups ({ groups }: { groups: RefusedGroup[] }) {
  return <ul class="refused-list">{groups.map((group) => <Group key={groupKey(group)} group={group} />)}</ul>
}

function Group ({ group }: { group: RefusedGroup }) {
  const { status, cause, code, method, route, requests, message, remedy, agent, address, source, key } = group
  return (
    <li class="refused-group">
      <div class="refused-head">
        <h3><Icon name="rejected" size={14} /> {status} <code>{cause}</code></h3>
        <code>{method} {route}</code>
        <span class="quiet">{plural(requests, 'request')}, the last <Ago at={group.last_ms} /></span>
      </div>
      <p><Prose text={message} />.</p>
      <p class="refused-remedy"><b>To change:</b> <Prose text={remedy} />.</p>
      <Facts facts={[
        ['Client', <span class="mono">{agent ?? 'no user agent'}</span>],
        address != null && ['Address', <span class="mono">{address}</span>],
        source != null && ['Source', <span class="mono">{source}</span>],
        key != null && ['Key', <span class="mono">{key}</span>],
        ['First', <Ago at={group.first_ms} />],
        code !== cause && ['Code', <code>{code}</code>]
      ]} />
    </li>
  )
}
