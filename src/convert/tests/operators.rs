use super::value_of;

/// Every operator on hand-computed cases. `-` is no value.
#[test]
fn operators_give_what_was_computed_by_hand() {
    let row = r#"{"s":"Ab c","n":5,"d":"7.9","neg":-7.9,"t":true,"f":false,"ts":"True","z":null,"e":"",
        "o":{"a":1.10,"b":{"c":[10,{"x":"y"}],"e":{}},"1":"one"},"l":["p","q",null,3],
        "big":12345678901234567890,"j":"{\"k\":[1.50,\"\\u00e9\"],\n \"m\":null}","at":"2021-01-01T05:06:07Z",
        "i96":"AP6qCz41AAAwhCUA","o2":{"b":2,"z":[]},"max":170141183460469231731687303715884105727}"#;
    let row = row.replace("\n        ", "");
    let check = |source: &str, expected: &str| {
        assert_eq!(value_of(source, &row).as_deref().unwrap_or("-"), expected, "{source}");
    };
    // Columns and paths.
    check(r#""n""#, "5");
    check(r#""missing""#, "-");
    check(r#""o.a""#, "-");
    check(r#""z""#, "null");
    check(r#"["path","o","a"]"#, "1.10");
    check(r#"["path","o","b","c","1","x"]"#, r#""y""#);
    check(r#"["path","o","1"]"#, r#""one""#);
    check(r#"["path","l","3"]"#, "3");
    check(r#"["path","l","4"]"#, "-");
    check(r#"["path","l","x"]"#, "-");
    check(r#"["path","l","-1"]"#, "-");
    check(r#"["path","l","+1"]"#, "-");
    check(r#"["path","l",""]"#, "-");
    check(r#"["path","s","x"]"#, "-");
    check(r#"["path","o",["any","nope","a"]]"#, "1.10");
    check(r#"["path","o",{"made":"a"},"made"]"#, "1.10");
    check(r#"["path",["parse_json_element","j"],"k","0"]"#, "1.50");
    check(r#"["path","n"]"#, "5");
    check(r#"["path","o",["path","b","c"],"0"]"#, "10");
    // Structure.
    check(r#"["any","missing","n"]"#, "5");
    check(r#"["any","z","n"]"#, "null");
    check(r#"["any","missing",["path","o","nope"]]"#, "-");
    check(r#"["value",{"a":[1.0,"x"]}]"#, r#"{"a":[1.0,"x"]}"#);
    check(r#"["value",null]"#, "null");
    check(r#"["dict","a","n","b","missing","c","s"]"#, r#"{"a":5,"c":"Ab c"}"#);
    check(r#"{"a":"n","b":"missing","c":{"d":"big"}}"#, r#"{"a":5,"c":{"d":12345678901234567890}}"#);
    check(r#"["dict","a","n","b","s","a","t"]"#, r#"{"b":"Ab c","a":true}"#);
    check(r#"["dict"]"#, "{}");
    check(r#"{"a":"missing"}"#, "{}");
    check(r#"["array","n","missing","z",["array","s"]]"#, r#"[5,null,["Ab c"]]"#);
    check(r#"["array","missing"]"#, "[]");
    check(r#"["merge_dicts",{"a":"n","b":"t"},"missing","o2","s"]"#, r#"{"a":5,"b":2,"z":[]}"#);
    check(r#"["merge_dicts","missing","s"]"#, "-");
    check(r#"["flatten_dict","_",["int",9],"o"]"#, r#"{"a":1.10,"b_c":[10,{"x":"y"}],"b_e":{},"1":"one"}"#);
    check(r#"["flatten_dict",".",["int",0],"o"]"#, r#"{"a":1.10,"b":{"c":[10,{"x":"y"}],"e":{}},"1":"one"}"#);
    check(r#"["flatten_dict",".",["int",1],{"a":{"b":{"c":"n"}}}]"#, r#"{"a.b":{"c":5}}"#);
    check(r#"["flatten_dict",".",["int",-1],{"a":{"b":{"c":"n"}},"a.b.c":"t"}]"#, r#"{"a.b.c":true}"#);
    check(r#"["flatten_dict",".","missing","o"]"#, "-");
    check(r#"["flatten_dict",".",["int",1],"l"]"#, "-");
    check(r#"["exclude_keys","o","a","1","nope"]"#, r#"{"b":{"c":[10,{"x":"y"}],"e":{}}}"#);
    check(r#"["exclude_keys","l","a"]"#, "-");
    check(r#"["parse_json_element","j"]"#, r#"{"k":[1.50,"\u00e9"],"m":null}"#);
    check(r#"["parse_json_object","s"]"#, "-");
    check(r#"["parse_json_element","o"]"#, "-");
    check(r#"["parse_json_element","d"]"#, "7.9");
    for (source, name) in
        [("s", "string"), ("n", "number"), ("l", "list"), ("o", "dict"), ("t", "bool"), ("z", "null")]
    {
        check(&format!(r#"["typeof","{source}"]"#), &format!("\"{name}\""));
    }
    check(r#"["typeof","missing"]"#, "-");
    // Choice.
    check(r#"["condition","f","s","t","n","ts","l"]"#, "5");
    check(r#"["cond","missing","s","ts","n"]"#, "5");
    check(r#"["condition","cond","f","s","t","n"]"#, "5");
    check(r#"["condition","f","s","z","s","n","s","o","s"]"#, "-");
    check(r#"["condition","t","missing","t","n"]"#, "-");
    check(r#"["ifelse","t","s","n"]"#, r#""Ab c""#);
    check(r#"["ifelse","missing","s","n"]"#, "5");
    // The first eight bytes of MD5 as a number, mod 100: "a" 0, "user-1" 6, "b" 32.
    check(r#"["sample_md5",["int",1],["value","a"]]"#, "true");
    check(r#"["sample_md5",["int",6],["value","user-1"]]"#, "false");
    check(r#"["sample_md5",["value",6.5],["value","user-1"]]"#, "true");
    check(r#"["sample_md5",["value","33"],["value","b"]]"#, "true");
    check(r#"["sample_md5",["int",100],"l"]"#, "-");
    check(r#"["sample_md5",["int",0],["value","a"]]"#, "false");
    check(r#"["sample_md5",["int",24],["int",42]]"#, "true");
    // Times.
    check(r#"["iso_time_to_ms","at"]"#, "1609477567000");
    check(r#"["iso_time_to_ms",["value","2021-01-01 05:06:07.250000"]]"#, "1609477567250");
    check(r#"["iso_time_to_ms","s"]"#, "-");
    check(r#"["iso_time_to_ms",["value","1609477567"]]"#, "-");
    check(r#"["iso_time_to_ms","n"]"#, "-");
    check(r#"["ms_to_iso_time",["value","1609477567250"]]"#, r#""2021-01-01T05:06:07.250Z""#);
    check(r#"["ms_to_iso_time",["int",-1]]"#, r#""1969-12-31T23:59:59.999Z""#);
    check(r#"["ms_to_iso_time","s"]"#, "-");
    check(r#"["ms_to_iso_time",["value",1e18]]"#, "-");
    check(r#"["iso_time_now"]"#, r#""2024-03-01T12:00:00.250Z""#);
    check(r#"["ms_time_now"]"#, "1709294400250");
    // 58,540,600,000,000 ns of the Julian day 2,458,672, which is 2019-07-07.
    check(r#"["int96_time_to_ms","i96"]"#, "1562516140600");
    check(r#"["int96_time_to_ms","s"]"#, "-");
    check(r#"["parse_time_to_ms","M/d/yyyy H:mm:ss",["value","1/1/2021 5:06:07"]]"#, "1609477567000");
    check(r#"["parse_time_to_ms","M/d/yyyy H:mm:ss","at"]"#, "-");
    // Texts.
    check(r#"["concat","s",["value","-"],"n","t",["path","o","a"]]"#, r#""Ab c-5true1.10""#);
    check(r#"["concat","s","missing"]"#, "-");
    check(r#"["concat","s","z"]"#, "-");
    check(r#"["concat","s","o"]"#, "-");
    check(r#"["concat","big"]"#, r#""12345678901234567890""#);
    check(r#"["replace_with","([A-Z])(\\w)","$2$1x","s"]"#, r#""bAx c""#);
    check(r#"["replace_with"," ","","s"]"#, r#""Abc""#);
    check(r#"["replace_with","x*","-",["value","ab"]]"#, r#""-a-b-""#);
    check(r#"["replace_with","b| ","<$0>","s"]"#, r#""A<b>< >c""#);
    check(r#"["replace_with","(b)|c","<$1>","s"]"#, r#""A<b> <>""#);
    check(r#"["replace_with","a","b","n"]"#, "-");
    check(r#"["split"," ","s"]"#, r#"["Ab","c"]"#);
    check(r#"["split",", ",["value","a, b,, "]]"#, r#"["a","b,",""]"#);
    check(r#"["split",",","e"]"#, r#"[""]"#);
    check(r#"["split",",","n"]"#, "-");
    check(r#"["lowercase","s"]"#, r#""ab c""#);
    check(r#"["lower",["value","ÀÉ"]]"#, r#""àé""#);
    check(r#"["lower","n"]"#, "-");
    // Booleans.
    check(r#"["bool",true]"#, "true");
    check(r#"["not","t"]"#, "false");
    check(r#"["!","z"]"#, "true");
    check(r#"["!","ts"]"#, "false");
    check(r#"["not","missing"]"#, "-");
    check(r#"["and","t","ts"]"#, "true");
    check(r#"["&&","t","z"]"#, "false");
    check(r#"["and","f","missing"]"#, "false");
    check(r#"["and","missing","f"]"#, "-");
    check(r#"["or","f","n","z"]"#, "false");
    check(r#"["||","f","ts"]"#, "true");
    check(r#"["or","t","missing"]"#, "true");
    check(r#"["or","f","missing"]"#, "-");
    check(r#"["equals","n",["value",5.0]]"#, "true");
    check(r#"["eq","n",["value","5"]]"#, "false");
    check(r#"["=","s",["value","Ab c"]]"#, "true");
    check(r#"["equals","z",["value",null]]"#, "true");
    check(r#"["equals","missing","n"]"#, "-");
    check(r#"["equals","big",["value",12345678901234567891]]"#, "false");
    check(
        r#"["equals",["value",{"a":[1,{"b":"\u0041"}],"c":2}],["value",{"c":2.0,"a":[1,{"b":"A"}]}]]"#,
        "true",
    );
    check(r#"["equals",["value",{"a":1}],["value",{"a":1,"b":2}]]"#, "false");
    check(r#"["equals",["value",[1,2]],["value",[2,1]]]"#, "false");
    check(r#"["contains","b c","s"]"#, "true");
    check(r#"["is_substring","B","s"]"#, "false");
    check(r#"["contains","x","z"]"#, "false");
    check(r#"["contains","q","l"]"#, "true");
    check(r#"["contains","345","big"]"#, "true");
    check(r#"["contains","a","o"]"#, "false");
    check(r#"["contains","x","missing"]"#, "-");
    // Numbers.
    check(r#"["int",-3]"#, "-3");
    check(r#"["int",12345678901234567890]"#, "12345678901234567890");
    check(r#"["round","d"]"#, "8");
    check(r#"["round","neg"]"#, "-8");
    check(r#"["round",["value",-2.5]]"#, "-2");
    check(r#"["round","z"]"#, "0");
    check(r#"["round","s"]"#, "-");
    check(r#"["add","n","d","z"]"#, "12");
    check(r#"["+","n"]"#, "5");
    check(r#"["add","n","s"]"#, "-");
    check(r#"["add","n","missing"]"#, "-");
    check(r#"["add","n","t"]"#, "-");
    check(r#"["add","big","big"]"#, "24691357802469135780");
    check(r#"["add","max",["int",1]]"#, "-");
    check(r#"["-","n","d"]"#, "-2");
    check(r#"["subtract",["value","-7.9"],["int",1]]"#, "-8");
    check(r#"["*","n","d",["value",2]]"#, "70");
    check(r#"["multiply","max",["int",2]]"#, "-");
    check(r#"["divide",["int",7],["int",2]]"#, "3");
    check(r#"["/",["int",-7],["int",2]]"#, "-3");
    check(r#"["divide","n","z"]"#, "-");
    check(r#"["addf",["value",0.5],"d"]"#, "8.4");
    check(r#"["addf","n"]"#, "5.0");
    check(r#"["subtractf","n",["value",0.5]]"#, "4.5");
    check(r#"["multiplyf",["value",1.5],"n"]"#, "7.5");
    check(r#"["dividef",["int",7],["int",2]]"#, "3.5");
    check(r#"["dividef",["int",1],["int",1709294400250]]"#, "5.850367261799611e-13");
    check(r#"["dividef","n","z"]"#, "-");
    check(r#"["multiplyf",["value",1e300],["value",1e300]]"#, "-");
    check(r#"["addf",["value","inf"],"n"]"#, "-");
}

#[test]
fn what_passes_through_keeps_its_digits_and_escapes() {
    let row = r#"{"a":1.10,"b":98765432109876543210,"c":"\u00e9\/","d":{"e":1E+2,"e":-0.0},"a":2.50}"#;
    let source = r#"{"a":"a","b":["any","b"],"c":["ifelse",["bool",true],"c","c"],"d":["path","d"],"e":["path","d","e"]}"#;
    let expected = r#"{"a":2.50,"b":98765432109876543210,"c":"\u00e9\/","d":{"e":1E+2,"e":-0.0},"e":-0.0}"#;
    assert_eq!(value_of(source, row).unwrap(), expected);
}
