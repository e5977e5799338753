// What an import of a bucket shares with other instances, what it does with imported files, and what its queue brought.

import type { ComponentChildren } from 'preact'
import type { After, Claims, Messages, NotDone } from '../api'
import { ago, count, NONE, plural, seconds, sentence, shellWord } from '../format'
import { afterDone, afterTitle, afterWaits, type Counted, deletedMessages, givenBack, queueDepth, sum, waitsOf } from '../import-state'
import { useNode, useNow } from '../node'
import { Code } from '../parts/copy'
import { Icon } from '../parts/icon'
import { Ago, Command, Facts, Prose } from '../parts/small'

/** The files that are named of an instance, and of each other list; the rest are counted. */
const NAMED_MAX = 5

/** What is wrong, and what to do. */
export function Wrong ({ text, since }: { text: string; since?: number | null }) {
  return <p class="source-why tone-problem"><Icon name="problem" /><span><Prose text={text} />{since != null && <>. Since <Ago at={since} />.</>}</span></p>
}

function Counts ({ counts, one }: { counts: Counted[]; one: string }) {
  return <ul class="errors">{counts.map(({ what, count: n }) => <li key={what}><b>{plural(n, one)}</b>: {what}</li>)}</ul>
}

function Named ({ files, of = files.length }: { files: { name: string; why?: ComponentChildren }[]; of?: number }) {
  const shown = files.slice(0, NAMED_MAX)
  return (
    <>
      <ul class="errors">{shown.map(({ name, why }) => <li key={name}><span class="mono wrap">{name}</span>{why && <p class="quiet">{why}</p>}</li>)}</ul>
      {of > shown.length && <p class="note">The first {count(shown.length)} of {count(of)} are named.</p>}
    </>
  )
}

/** Whose the files are that several instances share. `claims` are those of the last pass that listed all keys. */
export function SharedFiles ({ name, claims, problem }: { name: string; claims: Claims | null | undefined; problem: string | null | undefined }) {
  const me = useNode().status?.spool_id
  if (!claims && !problem) return null
  return (
    <>
      <h4>Files of other instances</h4>
      {problem && <Wrong text={problem} />}
      <Facts facts={[
        me != null && ['This instance', <span class="mono wrap">{me}</span>],
        ['Of others', claims ? plural(claims.claimed, 'file') : NONE],
        (claims?.released ?? 0) > 0 && ['Released', `${plural(claims!.released, 'file')} of those had begun here`]
      ]} />
      {claims && claims.claimed > 0 && claims.waiting.length === 0 && <p class="quiet">All of them are delivered.</p>}
      {claims?.waiting.map(({ instance, files, since_ms, first }) => (
        <div class="instance" key={instance}>
          <p><b>{plural(files, 'file is', 'files are')} not delivered</b> by the instance <span class="mono wrap">{instance}</span>{since_ms != null && <>, the first claimed <Ago at={since_ms} /></>}.</p>
          <Named files={first.map((one) => ({ name: one }))} of={files} />
          <p class="quiet">It works on them, or is down: then start it with its disk. Only if its disk is lost, release them. This shows what would be released; without <code>--dry-run</code> they are imported from their first rows:</p>
          <Code text={`forebay import release ${shellWord(name)} --instance ${shellWord(instance)} --dry-run`} what={`the command that releases files of ${instance}`} />
        </div>
      ))}
      {claims && claims.unknown > 0 && <>
        <p class="source-why"><Icon name="notice" /><span><b>{plural(claims.unknown, 'file waits', 'files wait')}: the claim is damaged or gone</b>, and another instance may have the rows. Put back what was there, such as an earlier version of the object. If the disk of that instance is lost, <Command text={`forebay import release ${shellWord(name)} --instance ID`} /> frees claims that are gone; delete a damaged one only if no instance has rows of its file.</span></p>
        {claims.unknown_first && <p class="quiet">The first: <span class="wrap">{claims.unknown_first}</span></p>}
      </>}
    </>
  )
}

/** What was done with imported files, and with which ones nothing is done yet. */
export function AfterImport ({ after }: { after: After | null | undefined }) {
  if (!after) return null
  const waits = sum(after.waiting)
  return (
    <>
      <h4>{afterTitle(after)}</h4>
      <Facts facts={[
        ['Last pass', afterDone(after) || 'nothing to do'],
        ['Waiting', waits ? plural(waits, 'file') : 'none'],
        after.rejected_rows > 0 && ['Rejected', `${plural(after.rejected_rows, 'row')} of files that wait`]
      ]} />
      {waits > 0 && <Counts counts={afterWaits(after)} one="file" />}
      {after.first.length > 0 && <Named files={after.first.map(({ name, why, error }) => ({ name, why: error ? sentence(error) : sentence(waitsOf(why)) }))} />}
      {after.remedies.map((remedy) => <p class="quiet" key={remedy}><Prose text={remedy} />.</p>)}
    </>
  )
}

/** What the queue of the import brought. */
export function QueueMessages ({ messages }: { messages: Messages | null | undefined }) {
  const now = useNow()
  if (!messages) return null
  const { queue, received, last_ms, in_hand, oldest_ms, depth, not_counted, failing, failing_since_ms, not_done } = messages
  const [deleted, back] = [deletedMessages(messages), givenBack(messages)]
  const all = (counts: Counted[]) => counts.reduce((sum, { count: n }) => sum + n, 0)
  return (
    <>
      <h4>Messages of its queue</h4>
      {failing && <Wrong text={failing} since={failing_since_ms} />}
      <Facts facts={[
        ['Queue', <span class="mono wrap">{queue}</span>],
        depth != null && ['In the queue', queueDepth(depth, now)],
        ['Received', received ? `${plural(received, 'message')}${last_ms == null ? '' : `, the last ${ago(last_ms, now)}`}` : 'none yet'],
        ['In hand', in_hand ? `${plural(in_hand, 'message')}, hidden from others until the files are done` : 'none'],
        oldest_ms != null && ['The oldest', `sent ${seconds((now - oldest_ms) / 1_000)} ago`],
        ['Deleted', plural(all(deleted), 'message')],
        ['Given back', `${plural(all(back), 'message')}${back.length ? ', which come again' : ''}`]
      ]} />
      {not_counted && !failing && <p class="note wrap"><Prose text={not_counted} />.</p>}
      {received > 0 && <Counts counts={[...deleted, ...back]} one="message" />}
      {not_done.length > 0 && <>
        <h4>Files whose messages went back</h4>
        <Named files={not_done.map(({ name, became, error }: NotDone) => ({ name, why: error ? sentence(error) : became.replaceAll('_', ' ') }))} />
      </>}
      <p class="note">Counted since the node started. A message that comes again counts again.</p>
    </>
  )
}
