// "Point your SDK here": the line of code for each SDK.

import { useState } from 'preact/hooks'
import { query, type Sdks } from '../api'
import { Code } from '../parts/copy'
import { Card, Loading, Select } from '../parts/small'
import { usePolled } from '../poll'

const EVERY_MS = 60_000

export function PointHere ({ id }: { id: string | null }) {
  const { data, error } = usePolled<Sdks>(`/api/sdks${query({ source: id })}`, EVERY_MS)
  const [chosen, setChosen] = useState('')
  const sdk = data?.sdks.find(({ name }) => name === chosen) ?? data?.sdks[0]
  return (
    <Card title="Point your SDK here" class="point-here">
      {data && sdk
        ? <>
            <p class="note">SDKs need this address and no other change: <code class="address">{data.address}</code></p>
            <Select label="SDK" value={sdk.name} change={setChosen} choices={data.sdks.map(({ name }) => ({ value: name, label: name }))} />
            <Code text={sdk.code} what={`the code for ${sdk.name}`} />
            <p class="note sdk-note">{sdk.note}</p>
          </>
        : <Loading error={error} what="The list of SDKs" />}
    </Card>
  )
}
