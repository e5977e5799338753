"""Makes the parquet files of samples/parquet, each beside the rows that pyarrow reads of it, as Forebay says them.

Usage: python parquet_samples.py FOLDER, with pyarrow 26, numpy and duckdb 2.
"""
import base64, datetime as dt, decimal, json, math, os, random, sys
import duckdb, numpy as np, pyarrow as pa, pyarrow.parquet as pq

D=decimal.Decimal
out=sys.argv[1]
random.seed(7)
def opt(f,p=0.2): return None if random.random()<p else f()
def table(n):
    R=random
    c={}
    c['b']=pa.array([opt(lambda:R.random()<.5) for _ in range(n)])
    for w in (8,16,32,64):
        c[f'i{w}']=pa.array([opt(lambda:R.choice([0,-1,1,-(1<<w-1),(1<<w-1)-1,R.randrange(-(1<<w-1),1<<w-1)])) for _ in range(n)],type=getattr(pa,f'int{w}')())
        c[f'u{w}']=pa.array([opt(lambda:R.choice([0,1,(1<<w)-1,R.randrange(1<<w)])) for _ in range(n)],type=getattr(pa,f'uint{w}')())
    c['f16']=pa.array([opt(lambda:R.choice([0.5,-2.0,65504.0,float('inf'),float('nan'),6e-8])) for _ in range(n)],type=pa.float16())
    c['f32']=pa.array([opt(lambda:R.choice([0.1,-2.5,1e20,1e-20,float('-inf'),float('nan'),R.random()])) for _ in range(n)],type=pa.float32())
    c['f64']=pa.array([opt(lambda:R.choice([0.1,-2.5,1e300,1e-300,float('-inf'),float('nan'),R.random(),3.0])) for _ in range(n)])
    for p,s in ((5,2),(9,0),(18,3),(38,10),(38,38),(76,20)):
        t=pa.decimal128(p,s) if p<=38 else pa.decimal256(p,s)
        lim=10**p-1
        c[f'd{p}_{s}']=pa.array([opt(lambda:D(R.choice([0,1,-1,lim,-lim,R.randrange(-lim,lim),110])).scaleb(-s,context=decimal.Context(prec=100))) for _ in range(n)],type=t)
    c['date']=pa.array([opt(lambda:R.choice([-1,0,19782,-700000,2932896,R.randrange(-100000,100000)])) for _ in range(n)],type=pa.int32()).cast(pa.date32())
    for u in ('ms','us','ns'):
        for tz in (None,'UTC'):
            lim={'ms':10**14,'us':10**17,'ns':9*10**18}[u]
            c[f'ts_{u}_{tz}']=pa.array([opt(lambda:R.choice([0,-1,1706704496789,R.randrange(-lim//2,lim)])) for _ in range(n)],type=pa.int64()).cast(pa.timestamp(u,tz))
    c['t_ms']=pa.array([opt(lambda:R.randrange(86400000)) for _ in range(n)],type=pa.int32()).cast(pa.time32('ms'))
    c['t_us']=pa.array([opt(lambda:R.randrange(86400000000)) for _ in range(n)],type=pa.int64()).cast(pa.time64('us'))
    c['t_ns']=pa.array([opt(lambda:R.randrange(86400000000000)) for _ in range(n)],type=pa.int64()).cast(pa.time64('ns'))
    words=['','a','ünï','"q"\\\n','x'*40,'\x01','日本']
    c['s']=pa.array([opt(lambda:R.choice(words)+str(R.randrange(50))) for _ in range(n)])
    c['ls']=pa.array([opt(lambda:R.choice(words)) for _ in range(n)],type=pa.large_string())
    c['dict']=pa.array([opt(lambda:R.choice(words)) for _ in range(n)]).dictionary_encode()
    c['bin']=pa.array([opt(lambda:R.randbytes(R.randrange(6))) for _ in range(n)])
    c['fsb']=pa.array([opt(lambda:R.randbytes(5)) for _ in range(n)],type=pa.binary(5))
    c['nul']=pa.nulls(n)
    c['li']=pa.array([opt(lambda:[opt(lambda:R.randrange(100)) for _ in range(R.randrange(4))]) for _ in range(n)],type=pa.list_(pa.int32()))
    c['ll']=pa.array([opt(lambda:[opt(lambda:[opt(lambda:R.choice(words)) for _ in range(R.randrange(3))]) for _ in range(R.randrange(4))]) for _ in range(n)],type=pa.list_(pa.list_(pa.string())))
    st=pa.struct([('x',pa.int64()),('y',pa.list_(pa.struct([('z',pa.string()),('w',pa.timestamp('us'))]))),('v',pa.struct([('q',pa.float64())]))])
    def S(): return {'x':opt(lambda:R.randrange(9)),'y':opt(lambda:[opt(lambda:{'z':opt(lambda:R.choice(words)),'w':opt(lambda:dt.datetime(2024,1,R.randrange(1,30)))}) for _ in range(R.randrange(3))]),'v':opt(lambda:{'q':opt(lambda:R.random())})}
    c['st']=pa.array([opt(S) for _ in range(n)],type=st)
    c['ms']=pa.array([opt(lambda:[(R.choice(words)+str(k),opt(lambda:R.randrange(9))) for k in range(R.randrange(3))]) for _ in range(n)],type=pa.map_(pa.string(),pa.int32()))
    c['mi']=pa.array([opt(lambda:[(k*7-3,opt(S)) for k in range(R.randrange(3))]) for _ in range(n)],type=pa.map_(pa.int64(),st))
    c['md']=pa.array([opt(lambda:[(dt.date(2024,1,1+k),opt(lambda:D(k).scaleb(-2))) for k in range(R.randrange(3))]) for _ in range(n)],type=pa.map_(pa.date32(),pa.decimal128(10,2)))
    c['lm']=pa.array([opt(lambda:[opt(lambda:[('k',opt(lambda:[R.randrange(5)]))]) for _ in range(R.randrange(3))]) for _ in range(n)],type=pa.list_(pa.map_(pa.string(),pa.list_(pa.int8()))))
    t=pa.table(c)
    # required fields too
    f=pa.field('req',pa.int32(),nullable=False); t=t.append_column(f,pa.array(range(n),type=pa.int32()))
    f=pa.field('reqs',pa.struct([pa.field('a',pa.string(),nullable=False),pa.field('l',pa.list_(pa.field('element',pa.int16(),nullable=False)),nullable=False)]),nullable=False)
    t=t.append_column(f,pa.array([{'a':str(i),'l':list(range(i%3))} for i in range(n)],type=f.type))
    return t
def civil(days):
    # proleptic, any year
    z=days+719468; era=z//146097; doe=z%146097
    yoe=(doe-doe//1460+doe//36524-doe//146096)//365; y=yoe+era*400; doy=doe-(365*yoe+yoe//4-yoe//100); mp=(5*doy+2)//153
    d=doy-(153*mp+2)//5+1; m=mp+3 if mp<10 else mp-9; y+= m<=2
    ys=f'{y:04d}' if 0<=y<=9999 else f'{y:+07d}'
    return f'{ys}-{m:02d}-{d:02d}'
def tod(v,n): p=10**n; s=v//p; return f'{s//3600:02d}:{s//60%60:02d}:{s%60:02d}.{v%p:0{n}d}'
U={'s':1,'ms':1000,'us':10**6,'ns':10**9}; N={'s':0,'ms':3,'us':6,'ns':9}
class Num(str): pass
class F32(float): pass
def conv(v,t,raw):
    """raw: python values of the array with times as ints"""
    if v is None: return None
    if pa.types.is_boolean(t): return v
    if pa.types.is_integer(t): return Num(v)
    if pa.types.is_float16(t): v=float(v); return None if not math.isfinite(v) else v
    if pa.types.is_float32(t):
        if not math.isfinite(v): return None
        return F32(v)
    if pa.types.is_float64(t): return None if not math.isfinite(v) else v
    if pa.types.is_decimal(t):
        s=format(v,'f'); digs=''.join(map(str,v.as_tuple().digits)).strip('0') if False else ''.join(map(str,v.as_tuple().digits)).rstrip('0').lstrip('0')
        return Num(s) if len(digs)<=15 else s
    if pa.types.is_date32(t): return civil(v)
    if pa.types.is_timestamp(t):
        u=t.unit; 
        day=86400*U[u]; return civil(v//day)+'T'+tod(v%day,N[u])+'Z'
    if pa.types.is_time(t): return tod(v,N[t.unit])
    if pa.types.is_string(t) or pa.types.is_large_string(t): return v
    if pa.types.is_binary(t) or pa.types.is_fixed_size_binary(t) or pa.types.is_large_binary(t): return base64.b64encode(v).decode()
    if pa.types.is_list(t) or pa.types.is_large_list(t): return [conv(x,t.value_type,raw) for x in v]
    if pa.types.is_struct(t): return {f.name:conv(v[f.name],f.type,raw) for f in t}
    if pa.types.is_map(t):
        def key(k):
            k=conv(k,t.key_type,raw); return k if isinstance(k,str) and not isinstance(k,Num) else str(k)
        return {key(k):conv(x,t.item_type,raw) for k,x in v}
    if pa.types.is_dictionary(t): return conv(v,t.value_type,raw)
    if pa.types.is_null(t): return None
    if isinstance(t,pa.BaseExtensionType) or hasattr(t,"extension_name"):
        return str(v) if "uuid" in str(t) else conv(v,t.storage_type,raw)
    raise Exception(t)
def ints(t):
    if pa.types.is_timestamp(t) or pa.types.is_time64(t): return pa.int64()
    if pa.types.is_time32(t) or pa.types.is_date32(t): return pa.int32()
    return t
def py(arr):
    """values, times as ints"""
    t=arr.type
    if isinstance(arr,pa.ChunkedArray): return [x for c in arr.chunks for x in py(c)]
    if pa.types.is_timestamp(t) or pa.types.is_time(t) or pa.types.is_date32(t): return arr.view(ints(t)).to_pylist()
    if pa.types.is_dictionary(t): return arr.to_pylist()
    if pa.types.is_struct(t):
        kids=[py(c) for c in (arr.field(i) for i in range(t.num_fields))]; 
        kids=[py(arr.field(i)) for i in range(t.num_fields)]
        v=arr.is_valid().to_pylist(); return [{f.name:kids[j][i] for j,f in enumerate(t)} if v[i] else None for i in range(len(arr))]
    if pa.types.is_map(t):
        k=py(arr.keys); it=py(arr.items); off=arr.offsets.to_pylist(); v=arr.is_valid().to_pylist(); b=0
        # keys/items ignore slicing of offsets
        return [list(zip(k[off[i]:off[i+1]],it[off[i]:off[i+1]])) if v[i] else None for i in range(len(arr))]
    if pa.types.is_list(t):
        vals=py(arr.values); off=arr.offsets.to_pylist(); v=arr.is_valid().to_pylist()
        return [vals[off[i]:off[i+1]] if v[i] else None for i in range(len(arr))]
    return arr.to_pylist()

def text(v):
    if v is None: return 'null'
    if isinstance(v,bool): return 'true' if v else 'false'
    if isinstance(v,Num): return str(v)
    if isinstance(v,F32):
        s=number(str(np.float32(v)))
        return s if '.' in s or 'e' in s else s+'.0'
    if isinstance(v,float): return number(repr(v))
    if isinstance(v,str): return json.dumps(v,ensure_ascii=False)
    if isinstance(v,list): return '['+','.join(map(text,v))+']'
    if isinstance(v,dict): return '{'+','.join(text(k)+':'+text(x) for k,x in v.items())+'}'
    raise Exception(v)
def number(s):
    """Digits of Python as Rust writes them."""
    if 'e' not in s: return s
    mantissa,exponent=s.split('e')
    return f'{mantissa}e{int(exponent)}'
def write(name):
    path=f'{out}/{name}.parquet'
    t=pq.read_table(path)
    columns={n:[conv(v,t.schema.field(n).type,None) for v in py(t[n])] for n in t.column_names}
    with open(f'{out}/{name}.ndjson','w') as f:
        for row in range(t.num_rows): f.write(text({n:columns[n][row] for n in t.column_names})+'\n')

t=table(40)
for codec in ('none','snappy','gzip','brotli','lz4','zstd'):
    small=t.select(['b','i32','f64','d18_3','ts_us_UTC','s','dict','st']) if codec!='zstd' else t
    name=f'pyarrow_{codec}'
    pq.write_table(small,f'{out}/{name}.parquet',compression=codec,data_page_version='1.0' if codec in ('none','gzip','zstd') else '2.0',row_group_size=17,data_page_size=200,write_page_checksum=codec=='gzip',store_schema=False,write_statistics=False)
    write(name)
enc={'s':'DELTA_BYTE_ARRAY','ls':'DELTA_LENGTH_BYTE_ARRAY','i32':'DELTA_BINARY_PACKED','f64':'BYTE_STREAM_SPLIT','b':'RLE'}
for version in ('1.0','2.0'):
    name=f'pyarrow_delta_{version[0]}'
    pq.write_table(t.select(list(enc)+['req','reqs']),f'{out}/{name}.parquet',use_dictionary=False,column_encoding=enc,data_page_version=version,row_group_size=17,store_schema=False,write_statistics=False)
    write(name)
pq.write_table(t.slice(0,0).select(['b','s']),f'{out}/pyarrow_empty.parquet')
write('pyarrow_empty')
times=pa.table({'t':pa.array([0,1706704496789000000,None]).cast(pa.timestamp('ns'))})
pq.write_table(times,f'{out}/pyarrow_int96.parquet',use_deprecated_int96_timestamps=True,store_schema=False)
with open(f'{out}/pyarrow_int96.ndjson','w') as f:
    for value in times['t'].cast(pa.int64()).to_pylist():
        days,nanos=divmod(value,86400*10**9) if value is not None else (0,0)
        b=nanos.to_bytes(8,'little')+(days+2440588).to_bytes(4,'little')
        f.write(text({'t':base64.b64encode(b).decode() if value is not None else None})+'\n')
c=duckdb.connect()
c.execute("""create table t as select i::utinyint u8, i::smallint i16, (i*7919)::int i32, (i::bigint*1234567891234) i64, (18446744073709551615-i)::ubigint u64, (i%2=0) b, i/7.0::float f32, i/7.0::double f64,
 (i/8.0)::decimal(18,3) d18, (i*1.5)::decimal(14,1) d14, (i::hugeint*1000000000000)::decimal(38,4) d38, date '1960-01-01'+i::int dt, timestamp '2024-01-01'+to_microseconds(i::bigint*86399999) ts, (timestamp '2024-01-01'+to_microseconds(i))::timestamp_ns tns, (timestamp '2024-01-01'+to_seconds(i))::timestamp_ms tms, timestamptz '2024-05-05 00:00:00+00'+to_seconds(i) tz, time '00:00:00'+to_microseconds(i*1000001) tm,
 case when i%5=0 then null else 'text '||i end s, ('a'||i%3) e, ('00000000-0000-4000-8000-0000000000'||(10+i))::uuid uu, 'x'::blob bl, [i,null,i+1] l, [[i::varchar],[],null] ll, {'a':i,'b':{'c':[i]}} st, map{'k'||i:i} m, map{i:{'z':'q'}} mi, ('{"j":'||i||'}')::json js, (i%3)::hugeint hg
 from range(0,40) r(i)""")

for codec,version in (('zstd','V1'),('snappy','V2')):
    c.execute(f"copy t to '{out}/duckdb_{version}.parquet' (format parquet, codec '{codec}', parquet_version {version})")
    write(f'duckdb_{version}')
c.execute("copy (select i32, interval 3 day as iv from t) to '"+out+"/interval.parquet' (format parquet)")
c.execute("set force_mbedtls_unsafe='true'")
c.execute("pragma add_parquet_key('k','0123456789112345')")
c.execute("copy (select i32 from t) to '"+out+"/encrypted.parquet' (format parquet, encryption_config {footer_key:'k'})")

# For a first converter: a time in each of two forms, a struct, and a column that cannot be read.
c.execute("""create table o as select 'buy' as event, 'u'||i%7 as user_id, timestamp '2024-03-01 12:00:00'+to_seconds(i) as "timestamp", 'o'||i as order_id,
 (i*1.5)::decimal(10,2) total, {'sku':'s'||i,'n':i} item, interval 3 day as wait, case when i=3 then 'inf'::double else 0.5 end as rate from range(0,20) r(i)""")
c.execute(f"copy o to '{out}/orders.parquet' (format parquet, codec 'zstd')")
