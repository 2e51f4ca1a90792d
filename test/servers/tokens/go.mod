module kmsplugin/test/servers/tokens

go 1.24
