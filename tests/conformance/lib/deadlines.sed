# Of containerd's client suite: images come from the machine's own registry, and what takes seconds
# on a real processor may take two minutes on an emulated one.
s#"(ghcr\.io/containerd|registry\.k8s\.io|cplatpublic\.azurecr\.io)/([^"]+)"#"localhost:5000/\2"#
s#WithTimeout\((ctx|context\.TODO\(\)), [0-9]+\*time\.Second\)#WithTimeout(\1, 120*time.Second)#
s#time\.After\([0-9]+ \* time\.Second\)#time.After(120 * time.Second)#
s#(timeout = )[0-9]+( \* time\.Second)#\1120\2#
s#(tryUntil := time\.Now\(\)\.Add\()(time\.Second\))#\160 * \2#
