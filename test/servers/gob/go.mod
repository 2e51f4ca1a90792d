module kmsplugin/gob

go 1.22
