package peers

import (
	"fmt"
	"path/filepath"
)

// Caddy runs Caddy with the site blocks of a Caddyfile, which must listen on the address.
func Caddy(dir, address, text string) (Server, error) {
	path, err := find("caddy", "caddy")
	if err != nil {
		return Server{}, err
	}
	conf, err := write(dir, "Caddyfile", fmt.Sprintf("{\n\tadmin off\n\tauto_https off\n\tlog {\n\t\tlevel ERROR\n\t}\n}\n\n%s\n", text))
	return Server{
		Name: "Caddy", Path: path, Args: []string{"run", "--config", conf, "--adapter", "caddyfile"}, Address: address,
		Env: []string{"XDG_DATA_HOME=" + filepath.Join(dir, "data"), "XDG_CONFIG_HOME=" + filepath.Join(dir, "config")},
	}, err
}
