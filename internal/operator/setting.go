package operator

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/oxbow-video/oxbow/internal/media"
)

// settings reads NAME=VALUE assignments of a publisher's or stream's settings as what the API takes, by the table of
// settings; more are names of texts that are none. A value @FILE is the text of a file, for secrets.
func (c *Call) settings(assignments, more []string) (fields, error) {
	body := fields{}
	for _, assignment := range assignments {
		name, text, ok := strings.Cut(assignment, "=")
		if !ok {
			return nil, usage("%.80q is no setting: write NAME=VALUE, like retention=720h", assignment)
		}
		if body[name] != nil {
			return nil, usage("setting %s is given twice", name)
		}
		setting, known := media.SettingNamed(name)
		if file, ok := strings.CutPrefix(text, "@"); ok && (known || slices.Contains(more, name)) {
			content, err := c.process.readFile(file, maxTokenFile)
			if err != nil {
				return nil, fmt.Errorf("setting %s: %w", name, err)
			}
			text = strings.TrimRight(string(content), "\r\n")
		}
		if slices.Contains(more, name) {
			body[name] = text
			continue
		}
		patch, err := media.ParseSetting(name, plain(setting.Kind, text))
		if err != nil {
			return nil, settingError(err, more)
		}
		if err := body.add(patch); err != nil {
			return nil, err
		}
	}
	return body, nil
}

// settingError says what is wrong with a setting, and where the right ones are told.
func settingError(err error, more []string) error {
	var wrong *media.FieldError
	if !errors.As(err, &wrong) {
		return err
	}
	if _, known := media.SettingNamed(wrong.Field); known {
		return usage("setting %s; see `oxbow settings %s`", err, wrong.Field)
	}
	also := ""
	if len(more) > 0 {
		also = "; streams have " + strings.Join(more, ", ") + " too"
	}
	return usage("%s\n  `oxbow settings` lists them%s", wrong.Want, also)
}

// checkReset says which name of settings to take back is none.
func checkReset(names []string) error {
	return settingError((media.SettingsPatch{Reset: names}).Check(), nil)
}

// add takes the settings of a patch into a body.
func (f fields) add(patch media.SettingsPatch) error {
	text, err := json.Marshal(patch)
	if err != nil {
		return err
	}
	var set map[string]json.RawMessage
	if err := json.Unmarshal(text, &set); err != nil {
		return err
	}
	for name, value := range set {
		f[name] = value
	}
	return nil
}

// plain gives what people may write of a kind of value as the table takes it: yes as true, 20GiB in bytes.
func plain(kind media.SettingKind, text string) string {
	switch kind {
	case media.KindBool:
		switch text {
		case "yes", "on":
			return "true"
		case "no", "off":
			return "false"
		}
	case media.KindInteger, media.KindBytes:
		return plainCount(text)
	}
	return text
}

// plainCount writes a whole number with a unit of bytes or bits, like 20GiB or 5M, in full. What is none stays as it
// is.
func plainCount(text string) string {
	number := strings.TrimRight(text, "KMGTiB")
	scale := map[string]float64{
		"K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "B": 1, "KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12,
		"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40,
	}[text[len(number):]]
	n, err := strconv.ParseFloat(number, 64)
	if n *= scale; err != nil || scale == 0 || math.Abs(n) > 1<<62 || n != math.Trunc(n) {
		return text
	}
	return strconv.FormatInt(int64(n), 10)
}

// ListSettings is `oxbow settings`. It asks no server.
type ListSettings struct {
	Connection `embed:""`
	Name       string `arg:"" optional:"" help:"Only this one, with its explanation."`
}

// Run lists the settings that there are.
func (l *ListSettings) Run(c *Call) error {
	if l.Name != "" {
		setting, ok := media.SettingNamed(l.Name)
		if !ok {
			return checkReset([]string{l.Name})
		}
		row, err := c.settingRow(setting)
		if err != nil {
			return err
		}
		return c.print(row, by("name"), showAll)
	}
	var items []json.RawMessage
	for _, setting := range media.SettingsTable() {
		row, err := c.settingRow(setting)
		if err != nil {
			return err
		}
		items = append(items, row)
	}
	out := c.newRows(table{columns: []string{
		"NAME=name", "KIND=kind", "DEFAULT=default", "RANGE=range", "+OF=of", "+A CHANGE HOLDS=change_holds",
		"+EXPLANATION=explanation",
	}, id: by("name")})
	if err := out.write(items); err != nil {
		return err
	}
	if err := out.end(); err != nil {
		return err
	}
	c.note("`oxbow settings NAME` explains one. Streams have %s too.", strings.Join(streamOnly(), ", "))
	return nil
}

// settingRow gives a setting as JSON. For people its default is as it is set.
func (c *Call) settingRow(s media.Setting) (json.RawMessage, error) {
	row := struct {
		Name    string `json:"name"`
		Kind    string `json:"kind"`
		Default any    `json:"default"`
		Range   string `json:"range"`
		Of      string `json:"of"`
		Holds   string `json:"change_holds"`
		Doc     string `json:"explanation"`
	}{s.Name, string(s.Kind), s.Default(), rangeOf(s), string(s.Level), string(s.Effect), s.Doc}
	if !c.JSON {
		row.Default = fmt.Sprint(row.Default)
	}
	text, err := json.Marshal(row)
	if err != nil {
		return nil, fmt.Errorf("setting %s: %w", s.Name, err)
	}
	return text, nil
}

// rangeOf says what a setting may be, also where that is no range.
func rangeOf(s media.Setting) string {
	switch text := s.Range(); {
	case text != "":
		return text
	case s.Kind == media.KindBool:
		return "true or false"
	case s.Zero != "":
		return "empty: " + s.Zero
	}
	return ""
}

// whatZeroIs says what a setting's zero or empty text stands for, with a blank before; else nothing.
func whatZeroIs(f field) string {
	switch f.value {
	case "", "0s", json.Number("0"):
		if s, ok := media.SettingNamed(f.name); ok && s.Zero != "" {
			return " (" + s.Zero + ")"
		}
	}
	return ""
}
