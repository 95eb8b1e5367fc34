package main

import (
	"fmt"
	"os"
	"path/filepath"

	"go.yaml.in/yaml/v3"

	"github.com/hauberk/hauberk/api"
	"github.com/hauberk/hauberk/bus"
	"github.com/hauberk/hauberk/bus/broker"
	"github.com/hauberk/hauberk/control"
	"github.com/hauberk/hauberk/detect"
	"github.com/hauberk/hauberk/internal/conf"
	"github.com/hauberk/hauberk/internal/disk"
	"github.com/hauberk/hauberk/store"
)

// serverConfig is the file of `hauberk server`: one section for each role,
// and for what the roles share.
type serverConfig struct {
	// DataDir is where everything is kept; the sections' own paths begin
	// below it unless they say otherwise.
	DataDir string `yaml:"data_dir"`
	// Names are host names and addresses of this machine that people and
	// nodes use; the certificates of console and gateway are for them.
	Names []string `yaml:"names"`
	// Disk is the room that stays free: below it ingest stops. The store goes
	// on to half of it, so that what was acknowledged is stored.
	Disk disk.Config `yaml:"disk_reserve"`

	Bus     bus.Config         `yaml:"bus"`    // client of the bus, for all roles
	Broker  broker.Config      `yaml:"broker"` // embedded, in the bus role
	Etcd    control.EtcdConfig `yaml:"etcd"`   // embedded, in the bus role
	Gateway control.Config     `yaml:"gateway"`
	Detect  detect.Config      `yaml:"detect"`
	Store   store.Config       `yaml:"store"`
	API     api.Config         `yaml:"api"`
}

// defaultServerConfig is what `hauberk up` runs on.
func defaultServerConfig(data string) serverConfig {
	run := filepath.Join(data, "run")
	c := serverConfig{
		DataDir: data,
		Names:   defaultNames(),
		Disk:    disk.DefaultConfig(),
		Bus:     bus.DefaultConfig(),
		Broker:  broker.DefaultConfig(),
		Etcd:    control.DefaultEtcdConfig(),
		Gateway: control.DefaultConfig(),
		Detect:  detect.DefaultConfig(),
		Store:   store.DefaultConfig(),
		API:     api.DefaultConfig(),
	}
	busSocket := filepath.Join(run, "bus.sock")
	c.Bus.Brokers = []string{"unix:" + busSocket}
	c.Broker.Socket, c.Broker.Dir = busSocket, filepath.Join(data, "bus")
	c.Etcd.Socket, c.Etcd.Dir = filepath.Join(run, "etcd.sock"), filepath.Join(data, "etcd")
	c.Gateway.Etcd.Endpoints = []string{"unix:" + c.Etcd.Socket}
	c.Gateway.SealingKey = filepath.Join(data, "tls", "sealing.key")
	c.Detect.Instance = "detect-" + hostName()
	c.Store.Dir = data
	c.Store.Socket = filepath.Join(run, "store.sock")
	c.Store.Instance = "store-" + hostName()
	c.API.Socket = filepath.Join(run, "api.sock")
	return c
}

func hostName() string {
	name, err := os.Hostname()
	if err != nil {
		return "localhost"
	}
	return name
}

// defaultNames are names of this machine that work without anybody's help.
func defaultNames() []string {
	names := []string{"localhost", "127.0.0.1", "::1"}
	if name := hostName(); name != "localhost" {
		names = append(names, name)
	}
	return names
}

// Validate reports all problems, each with its section.
func (c *serverConfig) Validate() error {
	var p conf.Problems
	if !filepath.IsAbs(c.DataDir) {
		p.Addf("data_dir: %q: want an absolute path", c.DataDir)
	}
	if len(c.Names) == 0 {
		p.Addf("names: want at least one")
	}
	c.Disk.Check(&p, "disk_reserve")
	for _, section := range []struct {
		name   string
		config conf.Validator
	}{
		{"bus", &c.Bus}, {"broker", &c.Broker}, {"etcd", &c.Etcd}, {"gateway", &c.Gateway},
		{"detect", &c.Detect}, {"store", &c.Store}, {"api", &c.API},
	} {
		if err := section.config.Validate(); err != nil {
			p.Addf("%s: %v", section.name, err)
		}
	}
	return p.Err()
}

// loadServerConfig reads the file, if any, onto the defaults of its data
// directory, and lets the flags have the last word.
func loadServerConfig(path string, flags func(*serverConfig)) (serverConfig, error) {
	var data []byte
	var said struct {
		DataDir string `yaml:"data_dir"`
	}
	if path != "" {
		var err error
		if data, err = os.ReadFile(path); err != nil {
			return serverConfig{}, fmt.Errorf("%w: %w", errConfig, err)
		}
		// Only to know where the defaults lie; the strict reading follows.
		_ = yaml.Unmarshal(data, &said)
	}
	probe := serverConfig{DataDir: said.DataDir}
	flags(&probe)
	if probe.DataDir == "" {
		probe.DataDir = defaultDataDir()
	}
	root, err := filepath.Abs(probe.DataDir)
	if err != nil {
		return serverConfig{}, err
	}
	c := defaultServerConfig(root)
	if data != nil {
		if err := conf.Unmarshal(data, &c); err != nil {
			return c, fmt.Errorf("%w %s: %w", errConfig, path, err)
		}
	}
	flags(&c)
	c.DataDir, c.Store.Reserve = root, c.Disk.Half()
	if err := c.Validate(); err != nil {
		return c, fmt.Errorf("%w %s: %w", errConfig, path, err)
	}
	return c, nil
}
