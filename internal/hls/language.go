package hls

import "strings"

// languages pairs ISO 639-2 codes with the ISO 639-1 code of the same language, which BCP 47 wants instead (RFC 5646
// 2.2.1): three letters and two, terminologic and bibliographic codes alike.
const languages = "aaraa abkab afraf akaak albsq amham araar argan armhy asmas avaav aveae aymay azeaz bakba bambm " +
	"baqeu belbe benbn bihbh bisbi bodbo bosbs brebr bulbg burmy catca cescs chach chece chizh chucu chvcv corkw " +
	"cosco crecr cymcy czecs danda deude divdv dutnl dzodz ellel engen epoeo estet euseu eweee faofo fasfa fijfj " +
	"finfi frafr frefr fryfy fulff geoka gerde glagd glega glggl glvgv greel grngn gujgu hatht hauha hebhe herhz " +
	"hinhi hmoho hrvhr hunhu hyehy iboig iceis idoio iiiii ikuiu ileie inaia indid ipkik islis itait javjv jpnja " +
	"kalkl kankn kasks katka kaukr kazkk khmkm kikki kinrw kirky komkv konkg korko kuakj kurku laolo latla lavlv " +
	"limli linln litlt ltzlb lublu luglg macmk mahmh malml maomi marmr maymy mkdmk mlgmg mltmt monmn mrimi msams " +
	"mslms myamy nauna navnv nblnr ndend ndong nepne nldnl nnonn nobnb norno nyany ocioc ojioj orior ormom ossos " +
	"panpa perfa plipi polpl porpt pusps quequ rohrm ronro rumro runrn rusru sagsg sansa sinsi slksk slosk slvsl " +
	"smese smosm snasn sndsd somso sotst spaes sqisq srdsc srpsr sswss sunsu swasw swesv tahty tamta tattt telte " +
	"tgktg tgltl thath tibbo tirti tonto tsntn tsots tuktk turtr twitw uigug ukruk urdur uzbuz venve vievi volvo " +
	"welcy wlnwa wolwo xhoxh yidyi yoryo zhaza zhozh zulzu "

// ownNames are languages' words for themselves.
const ownNames = "ar=العربية bg=Български bn=বাংলা ca=Català cs=Čeština cy=Cymraeg da=Dansk de=Deutsch el=Ελληνικά " +
	"en=English es=Español et=Eesti eu=Euskara fa=فارسی fi=Suomi fr=Français ga=Gaeilge gl=Galego he=עברית hi=हिन्दी " +
	"hr=Hrvatski hu=Magyar hy=Հայերեն id=Indonesia is=Íslenska it=Italiano ja=日本語 ka=ქართული ko=한국어 lt=Lietuvių " +
	"lv=Latviešu mk=Македонски ms=Melayu mt=Malti nb=Norsk nl=Nederlands nn=Nynorsk no=Norsk pl=Polski pt=Português " +
	"ro=Română ru=Русский sk=Slovenčina sl=Slovenščina sq=Shqip sr=Српски sv=Svenska sw=Kiswahili ta=தமிழ் te=తెలుగు " +
	"th=ไทย tr=Türkçe uk=Українська ur=اردو vi=Tiếng-Việt zh=中文 "

// language gives the shortest BCP 47 tag of what a publisher called a language, an ISO 639 code or a tag (MV-9); "und"
// for none and for what could not be one. "mul", "mis", "zxx" and the private codes from "qaa" to "qtz" are tags.
func language(tag string) string {
	if tag == "" || len(tag) > 35 {
		return "und"
	}
	primary, rest, more := strings.Cut(tag, "-")
	primary = strings.ToLower(primary)
	private := more && (primary == "x" || primary == "i")
	if !subtag(primary, "abcdefghijklmnopqrstuvwxyz") || (len(primary) == 1 && !private) {
		return "und"
	}
	for part := range strings.SplitSeq(rest, "-") {
		if more && !subtag(strings.ToLower(part), "abcdefghijklmnopqrstuvwxyz0123456789") {
			return "und"
		}
	}
	if at := strings.Index(" "+languages, " "+primary); at >= 0 && len(primary) == 3 {
		primary = languages[at+3 : at+5]
	}
	if more {
		return primary + "-" + rest
	}
	return primary
}

func subtag(s, letters string) bool {
	return s != "" && len(s) <= 8 && strings.Trim(s, letters) == ""
}

// languageName is what people who speak a language call it; the tag itself where that is not known, or says more than
// the language.
func languageName(tag string) string {
	_, rest, ok := strings.Cut(" "+ownNames, " "+tag+"=")
	if !ok {
		return tag
	}
	name, _, _ := strings.Cut(rest, " ")
	return strings.ReplaceAll(name, "-", " ")
}
