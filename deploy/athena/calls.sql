-- A table of Athena (and so of the Glue catalog) over the calls of a bucket. No crawler and no MSCK REPAIR: Athena computes
-- the partitions, a source and a received day, from the names of the folders. Change in both places the bucket with its
-- prefix, and the list of sources.
CREATE EXTERNAL TABLE forebay_calls (
  type string,
  event string,
  name string,
  userid string,
  anonymousid string,
  messageid string,
  receivedat string,
  `timestamp` string,
  properties string,
  traits string,
  context string
)
PARTITIONED BY (source string, received_day bigint)
ROW FORMAT SERDE 'org.openx.data.jsonserde.JsonSerDe'
WITH SERDEPROPERTIES (
  'mapping.userid' = 'userId',
  'mapping.anonymousid' = 'anonymousId',
  'mapping.messageid' = 'messageId',
  'mapping.receivedat' = 'receivedAt'
)
LOCATION 's3://mytestbucket/path/prefix/segment-logs/'
TBLPROPERTIES (
  'projection.enabled' = 'true',
  'projection.source.type' = 'enum',
  'projection.source.values' = 'checkout-web,ios',
  'projection.received_day.type' = 'integer',
  'projection.received_day.range' = '1735689600000,2051222400000',
  'projection.received_day.interval' = '86400000',
  'storage.location.template' = 's3://mytestbucket/path/prefix/segment-logs/${source}/${received_day}/'
)
