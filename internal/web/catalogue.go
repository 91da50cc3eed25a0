package web

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"golang.org/x/text/language"

	"github.com/nightlatch/nightlatch/internal/access"
	"github.com/nightlatch/nightlatch/internal/latch"
)

// The catalogue is Go, not data files, so that the compiler is its first reader. Each text is a struct of three
// strings written without field names: leaving a language out is "too few values", and a text that is used but not
// there is "undefined". Only the maps over latch's closed lists cannot be proved by the compiler; TestCatalogue
// does.
//
// {name} is a parameter. "one|many" are English's two forms, chosen by {n}; Korean and Japanese have one. Korean puts
// no particle after a parameter, because which particle is right depends on the parameter's last sound.

type lang uint8

const (
	en lang = iota
	ko
	ja
	langs // how many
)

var (
	langTags  = []language.Tag{language.English, language.Korean, language.Japanese} // by lang
	langNames = [langs]string{"English", "한국어", "日本語"}                               // each in its own words
)

func (l lang) String() string { return langTags[l].String() }

type text struct{ en, ko, ja string }

// say fills in the parameters, given as "{name}", value, "{name}", value.
func (t text) say(l lang, args ...string) string {
	return strings.NewReplacer(args...).Replace([langs]string{t.en, t.ko, t.ja}[l])
}

func (t text) count(l lang, n int) string {
	s := t.say(l, "{n}", fmt.Sprint(n))
	if one, many, two := strings.Cut(s, "|"); two && n == 1 {
		return one
	} else if two {
		return many
	}
	return s
}

// words is a problem's: what happened, and what to do about it.
type words struct{ title, detail text }

var stateTitle = map[latch.State]text{
	latch.StateOff:      {"VPN is off", "VPN이 꺼져 있습니다", "VPNは停止中です"},
	latch.StateOpening:  {"Turning on…", "켜는 중입니다", "開始しています"},
	latch.StateOpen:     {"VPN is ready", "VPN을 사용할 수 있습니다", "VPNを利用できます"},
	latch.StateDegraded: {"VPN is on, but not complete", "VPN이 켜져 있지만 일부가 빠져 있습니다", "VPNは動作中ですが、一部が不足しています"},
	latch.StateClosing:  {"Turning off…", "끄는 중입니다", "停止しています"},
	latch.StateUnusable: {"VPN cannot be used", "VPN을 사용할 수 없습니다", "VPNを利用できません"},
}

var stateWord = map[latch.State]text{
	latch.StateOff:      {"off", "꺼짐", "停止中"},
	latch.StateOpening:  {"turning on", "켜는 중", "開始処理中"},
	latch.StateOpen:     {"on", "켜짐", "動作中"},
	latch.StateDegraded: {"on, but not complete", "켜짐(일부 누락)", "動作中（一部不足）"},
	latch.StateClosing:  {"turning off", "끄는 중", "停止処理中"},
	latch.StateUnusable: {"not usable", "사용 불가", "利用不可"},
}

// stateMark stands before the document's title, where a tab shows little else. It is never the only sign.
var stateMark = map[latch.State]string{
	latch.StateOff: "○", latch.StateOpening: "◔", latch.StateOpen: "●", latch.StateDegraded: "◐", latch.StateClosing: "◕", latch.StateUnusable: "✕",
}

var reasonSay = map[latch.Code]text{
	latch.OffIdle:             {"Nobody needs it at the moment.", "지금은 사용하는 사람이 없습니다.", "現在、利用者はいません。"},
	latch.OffHours:            {"It can be turned on from {until}.", "{until}부터 켤 수 있습니다.", "{until}から開始できます。"},
	latch.OffHeld:             {"An administrator keeps it off until {until}. {message}", "관리자가 {until}까지 꺼 두었습니다. {message}", "管理者が{until}まで停止しています。{message}"},
	latch.OpeningAssociating:  {"AWS is connecting the network. This is the long part.", "AWS에서 네트워크를 연결하고 있습니다. 가장 오래 걸리는 단계입니다.", "AWSがネットワークを接続しています。最も時間のかかる段階です。"},
	latch.OpeningRoutes:       {"Routes are being restored: {done} of {total}.", "경로를 복원하고 있습니다({total}개 중 {done}개 완료).", "経路を復元しています（{total}件中{done}件完了）。"},
	latch.OpeningGroups:       {"The network's security groups are being set.", "네트워크의 보안 그룹을 설정하고 있습니다.", "ネットワークのセキュリティグループを設定しています。"},
	latch.OpeningSwitch:       {"The automatic switch-off is being set.", "자동 종료 장치를 설정하고 있습니다.", "自動停止の設定をしています。"},
	latch.OpeningRetry:        {"AWS could not connect the network. It is being tried again.", "AWS에서 네트워크를 연결하지 못해 다시 시도하고 있습니다.", "AWSがネットワークを接続できなかったため、再試行しています。"},
	latch.OpeningQueued:       {"AWS can't stop half-way. We'll turn it on again right after.", "끄는 중에는 되돌릴 수 없습니다. 꺼지는 대로 다시 켭니다.", "停止処理は中断できません。停止後すぐに再開します。"},
	latch.OpenLease:           {"On until {until}.", "{until}까지 사용할 수 있습니다.", "{until}まで利用できます。"},
	latch.OpenTraffic:         {"The time asked for has ended, but it is still in use. It stays on until {until} at most.", "신청한 시간은 끝났지만 아직 사용 중입니다. 늦어도 {until}에 꺼집니다.", "申請された時間は終わりましたが、まだ利用されています。遅くとも{until}に停止します。"},
	latch.OpenWould:           {"Nobody seems to need it. This page only watches, so it stays on.", "사용하는 사람이 없는 것 같지만, 이 페이지는 상태만 확인하므로 계속 켜져 있습니다.", "利用者はいないようですが、このページは監視のみのため動作を続けます。"},
	latch.OpenByHand:          {"Somebody turned it on outside this page. It stays on until they turn it off.", "이 페이지 밖에서 켜진 상태입니다. 켠 사람이 끌 때까지 유지됩니다.", "このページ以外から開始されました。開始した人が停止するまで動作します。"},
	latch.DegradedRoutes:      {"{done} of {total} routes work. The others are being restored.", "경로 {total}개 중 {done}개가 동작합니다. 나머지를 복원하고 있습니다.", "{total}件中{done}件の経路が有効です。残りを復元しています。"},
	latch.DegradedGroups:      {"The network's security groups are not as they should be. They are being set again.", "네트워크의 보안 그룹이 설정과 달라 다시 설정하고 있습니다.", "ネットワークのセキュリティグループが設定と異なるため、再設定しています。"},
	latch.DegradedAssociation: {"Part of the network connection is missing. It is being restored.", "네트워크 연결 일부가 빠져 있어 복원하고 있습니다.", "ネットワーク接続の一部が失われたため、復元しています。"},
	latch.ClosingDone:         {"Everybody is done with it.", "모두 사용을 마쳤습니다.", "全員が利用を終えました。"},
	latch.ClosingLease:        {"The time asked for has ended.", "신청한 시간이 끝났습니다.", "申請された時間が終わりました。"},
	latch.ClosingIdle:         {"Nobody has used it for a while.", "한동안 아무도 사용하지 않았습니다.", "しばらく利用されていません。"},
	latch.ClosingUnused:       {"Nobody connected after it was ready.", "준비된 뒤 아무도 연결하지 않았습니다.", "準備完了後、誰も接続しませんでした。"},
	latch.ClosingMax:          {"It has been on for as long as is allowed at a time.", "한 번에 켤 수 있는 최대 시간이 지났습니다.", "一度に動作できる最長時間に達しました。"},
	latch.ClosingHours:        {"The hours in which it may be on have ended.", "사용 가능한 시간대가 끝났습니다.", "利用可能な時間帯が終わりました。"},
	latch.ClosingHeld:         {"An administrator is turning it off.", "관리자가 끄고 있습니다.", "管理者が停止しています。"},
	latch.ClosingOutside:      {"Somebody turned it off outside this page.", "이 페이지 밖에서 꺼졌습니다.", "このページ以外から停止されました。"},
	latch.ClosingByHand:       {"It was turned on outside this page, which is not allowed here.", "이 페이지 밖에서 켜졌으며, 이는 허용되지 않습니다.", "このページ以外から開始されましたが、許可されていません。"},
	latch.ClosingSwitch:       {"The automatic switch-off could not be set, so it may not stay on.", "자동 종료 장치를 설정하지 못해 켜 둘 수 없습니다.", "自動停止を設定できなかったため、動作を続けられません。"},
	latch.UnusableStatus:      {"AWS reports the state “{status}”. Ask your administrator.", "AWS에서 보고한 상태: {status}. 관리자에게 문의하세요.", "AWSの報告する状態：{status}。管理者にお問い合わせください。"},
	latch.OffPaused:           {"An administrator has paused it: nobody can turn it on before {until}. {message}", "관리자가 일시 중지하여 {until}까지 켤 수 없습니다. {message}", "管理者が一時停止しており、{until}まで開始できません。{message}"},
	latch.OpenPaused:          {"On until {until}. An administrator has paused it: nobody can join or extend. {message}", "{until}까지 사용할 수 있습니다. 관리자가 일시 중지하여 참여하거나 연장할 수 없습니다. {message}", "{until}まで利用できます。管理者が一時停止しているため、参加も延長もできません。{message}"},
	latch.OpenBreakGlass:      {"Turned on in an emergency, outside the rules, until {until}.", "긴급 상황으로 규칙과 관계없이 켜졌으며 {until}까지 유지됩니다.", "緊急のため規則によらず開始され、{until}まで動作します。"},
}

// causeSay says what holds an endpoint open or closed and what will change that; {at} is when, {who} a person's name.
var causeSay = map[latch.CauseCode]text{
	latch.CauseLease:   {"{who} needs it until {at}.", "{who} 님이 {at}까지 사용합니다.", "{who}さんが{at}まで利用します。"},
	latch.CauseAdopted: {"Somebody turned it on outside Nightlatch, which counts until {at}.", "Nightlatch 밖에서 켜졌으며 {at}까지 사용하는 것으로 봅니다.", "Nightlatch以外から開始され、{at}までの利用とみなします。"},
	latch.CauseByHand:  {"Somebody turned it on outside Nightlatch; it stays on until they turn it off.", "Nightlatch 밖에서 켜졌습니다. 켠 사람이 끌 때까지 유지됩니다.", "Nightlatch以外から開始されました。開始した人が停止するまで動作します。"},
	latch.CauseTraffic: {"It is in use, which keeps it on until {at} at most.", "사용 중이므로 최대 {at}까지 켜져 있을 수 있습니다.", "利用中のため、最長で{at}まで動作します。"},
	latch.CauseIdle:    {"It turns off at {at}, unless somebody needs or uses it then.", "필요하거나 사용하는 사람이 없으면 {at}에 꺼집니다.", "必要とする人も利用する人もいなければ、{at}に停止します。"},
	latch.CauseUnused:  {"It turns off at {at} if nobody connects before.", "그 전에 아무도 연결하지 않으면 {at}에 꺼집니다.", "それまでに誰も接続しなければ、{at}に停止します。"},
	latch.CauseMax:     {"It turns off at {at} in any case: that is as long as is allowed at a time.", "한 번에 켤 수 있는 최대 시간이 지나는 {at}에는 반드시 꺼집니다.", "一度に動作できる最長時間に達する{at}には必ず停止します。"},
	latch.CauseHours:   {"It turns off at {at}, when the hours in which it may be on end.", "사용 가능한 시간대가 끝나는 {at}에 꺼집니다.", "利用可能な時間帯が終わる{at}に停止します。"},
	latch.CauseHeld:    {"{who} keeps it off until {at}. {message}", "{who} 님이 {at}까지 꺼 두었습니다. {message}", "{who}さんが{at}まで停止しています。{message}"},
	latch.CauseBefore:  {"Nobody may turn it on or join before {at}.", "{at}까지는 켜거나 참여할 수 없습니다.", "{at}までは開始も参加もできません。"},
	latch.CauseQueued:  {"{who} needs it until {at}: it turns on again as soon as it is off.", "{who} 님이 {at}까지 필요로 하므로 꺼지는 대로 다시 켭니다.", "{who}さんが{at}まで必要としているため、停止後すぐに再開します。"},
	latch.CauseSwitch:  {"Should Nightlatch itself fail, AWS's scheduler turns it off at {at}.", "Nightlatch가 동작하지 않더라도 AWS 스케줄러가 {at}에 끕니다.", "Nightlatch自体が動作しない場合でも、AWSのスケジューラーが{at}に停止します。"},
	latch.CauseObserve: {"Nightlatch only watches it and changes nothing.", "Nightlatch는 상태만 확인하며 아무것도 바꾸지 않습니다.", "Nightlatchは監視するだけで、何も変更しません。"},
	latch.CausePaused:  {"{who} lets nobody turn it on, join or extend until {at}. {message}", "{who} 님이 {at}까지 켜기, 참여, 연장을 일시 중지했습니다. {message}", "{who}さんが{at}まで開始・参加・延長を一時停止しています。{message}"},

	latch.CauseBreakGlass:    {"{who} turned it on in an emergency, outside hours, orders and rules, until {at}.", "{who} 님이 긴급 상황으로 시간대, 관리자 지시, 규칙과 관계없이 {at}까지 켰습니다.", "{who}さんが緊急のため、時間帯・管理者の指示・規則によらず{at}まで開始しました。"},
	latch.CauseBreakGlassEnd: {"It turns off at {at}, when the emergency ends: the hours or an administrator's order allow nothing else then.", "긴급 사용이 끝나는 {at}에 꺼집니다. 그 뒤에는 시간대나 관리자의 지시에 따라 켤 수 없습니다.", "緊急利用が終わる{at}に停止します。その後は時間帯または管理者の指示により動作できません。"},
}

// differenceSay says how an endpoint differs from what it should be.
var differenceSay = map[latch.DifferenceCode]text{
	latch.AssociationMissing: {"Subnet {subnet} is not associated.", "연결되지 않은 서브넷: {subnet}.", "サブネット{subnet}が関連付けられていません。"},
	latch.AssociationExtra:   {"Subnet {subnet} is associated ({association}), and nothing asks for it.", "필요하지 않은데 연결된 서브넷: {subnet}({association}).", "サブネット{subnet}が関連付けられていますが（{association}）、必要とされていません。"},
	latch.RouteMissing:       {"The declared route {destination} via {subnet} is not there.", "설정에 있지만 없는 경로: {destination}({subnet}).", "設定された経路{destination}（{subnet}）がありません。"},
	latch.RouteLost:          {"The learned route {destination} via {subnet} is not there.", "기억하고 있지만 없는 경로: {destination}({subnet}).", "記憶している経路{destination}（{subnet}）がありません。"},
	latch.RouteBroken:        {"The route {destination} via {subnet} does not work: {status} {message}", "동작하지 않는 경로: {destination}({subnet}): {status} {message}", "経路{destination}（{subnet}）が動作していません：{status} {message}"},
	latch.RouteExtra:         {"The route {destination} via {subnet} is neither declared nor learned.", "설정에도 기억에도 없는 경로: {destination}({subnet}).", "経路{destination}（{subnet}）は設定にも記憶にもありません。"},
	latch.GroupMissing:       {"Security group {group} is not applied.", "적용되지 않은 보안 그룹: {group}.", "セキュリティグループ{group}が適用されていません。"},
	latch.GroupExtra:         {"Security group {group} is applied, and nothing asks for it.", "필요하지 않은데 적용된 보안 그룹: {group}.", "セキュリティグループ{group}が適用されていますが、必要とされていません。"},
}

// mayNot is the title of a refusal, by what was wanted.
var mayNot = map[access.Action]text{
	access.See:        {"You may not see this", "볼 권한이 없습니다", "閲覧権限がありません"},
	access.Open:       {"You may not turn it on or join", "켜거나 참여할 권한이 없습니다", "開始・参加する権限がありません"},
	access.Extend:     {"You may not extend", "연장할 권한이 없습니다", "延長する権限がありません"},
	access.EndOthers:  {"You may not end other people's use", "다른 사람의 사용을 종료할 권한이 없습니다", "ほかの人の利用を終了する権限がありません"},
	access.Administer: {"This is for administrators", "관리자만 사용할 수 있습니다", "管理者専用です"},
}

// accessSay says why somebody may or may not.
var accessSay = map[access.Code]text{
	access.AllowedByRule:    {"A rule allows it.", "규칙에서 허용합니다.", "ルールで許可されています。"},
	access.AllowedByDefault: {"Everybody who has signed in may.", "로그인한 사람은 누구나 할 수 있습니다.", "サインインした人なら誰でもできます。"},
	access.DeniedByRule:     {"A rule forbids it to this account.", "규칙에서 이 계정에 금지하고 있습니다.", "ルールでこのアカウントには禁止されています。"},
	access.DeniedNoRule:     {"No rule allows it to this account.", "이 계정에 허용하는 규칙이 없습니다.", "このアカウントに許可するルールがありません。"},
	access.DeniedHours:      {"This account may at other hours only.", "이 계정은 다른 시간대에만 할 수 있습니다.", "このアカウントは別の時間帯にのみ実行できます。"},
	access.DeniedGroupsCut:  {"This account is in so many groups that their list came incomplete, so it proves nothing.", "계정이 속한 그룹이 너무 많아 목록이 온전히 전달되지 않았으므로 소속을 확인할 수 없습니다.", "所属グループが多すぎて一覧が完全に届かなかったため、所属を確認できません。"},
	access.DeniedBlocked:    {"An administrator has blocked this account.", "관리자가 이 계정을 차단했습니다.", "管理者がこのアカウントをブロックしています。"},
}

var stageText = map[latch.StageName]text{
	latch.StageAccepted:  {"Request accepted", "요청 접수", "受付完了"},
	latch.StageAssociate: {"AWS connects the network", "AWS에서 네트워크 연결", "AWSがネットワークを接続"},
	latch.StageRoutes:    {"Routes restored", "경로 복원", "経路の復元"},
	latch.StageReady:     {"Checked and ready", "확인 완료, 사용 가능", "確認完了、利用可能"},
}

var phaseText = map[latch.Phase]text{
	latch.PhaseAssociate: stageText[latch.StageAssociate], latch.PhaseRoutes: stageText[latch.StageRoutes], latch.PhaseClose: stateWord[latch.StateClosing],
}

// Sentences and labels that Go code picks.
var (
	tOpen        = text{"Turn on VPN", "VPN 켜기", "VPNを開始"}
	tOpenAgain   = text{"Turn on again", "다시 켜기", "もう一度開始"}
	tJoin        = text{"Keep it on for me too", "나도 사용하기", "私も利用する"}
	tJoinHint    = text{"If you join, it also stays on for the time you choose.", "참여하면 선택한 시간에도 유지됩니다.", "参加すると、選択した時間中も動作を続けます。"}
	tSoon        = text{"It turns off at {until}.", "{until}에 꺼집니다.", "{until}に停止します。"}
	tSoonMine    = text{"It turns off at {until}. Extend it if you still need it.", "{until}에 꺼집니다. 계속 필요하면 연장하세요.", "{until}に停止します。引き続き必要な場合は延長してください。"}
	tObserved    = text{"Nightlatch only watches this VPN; it does not turn it on or off.", "Nightlatch는 이 VPN의 상태만 확인하며 켜거나 끄지 않습니다.", "NightlatchはこのVPNを監視するだけで、開始・停止はしません。"}
	tNoJoin      = text{"You can turn it on or join from {until}.", "{until}부터 켜거나 참여할 수 있습니다.", "{until}から開始・参加できます。"}
	tOpenHint    = text{"Turning it on usually takes {left}.", "켜는 데 보통 {left} 걸립니다.", "開始まで通常{left}かかります。"}
	tBetween     = text{"{from} to {to}", "{from}~{to}", "{from}～{to}"}
	tLeft        = text{"{left} more, going by the last {n} times.", "{left} 남았습니다(최근 {n}회 기준).", "残り{left}です（直近{n}回の実績）。"}
	tLeftUsual   = text{"Usually {left} more.", "보통 {left} 더 걸립니다.", "通常あと{left}かかります。"}
	tSlow        = text{"This is slower than usual.", "평소보다 오래 걸리고 있습니다.", "通常より時間がかかっています。"}
	tStuck       = text{"This takes longer than it ever did here. It goes on; tell your administrator.", "지금까지 가장 오래 걸리고 있습니다. 계속 진행 중이지만 관리자에게 알려 주세요.", "これまでで最も時間がかかっています。処理は続いていますが、管理者にお知らせください。"}
	tExtend      = text{"Extend", "연장", "延長"}
	tHowLong     = text{"How long do you need it?", "얼마나 사용하시겠습니까?", "利用時間を選択してください"}
	tHowMuchMore = text{"How much longer?", "얼마나 연장하시겠습니까?", "延長時間を選択してください"}
	tCannot      = text{"It can't be extended: {until} is as far as is allowed.", "더 연장할 수 없습니다(최대 {until}).", "これ以上延長できません（最長{until}）。"}
	tClipped     = text{"You got less time than you asked for: {until} is as far as is allowed.", "요청한 시간보다 짧게 설정되었습니다(최대 {until}).", "希望より短い時間になりました（最長{until}）。"}
	tDone        = text{"I'm done", "사용 종료", "利用を終了"}
	tDoneLast    = text{"You are the last one; it will turn off.", "마지막 사용자입니다. 종료하면 VPN이 꺼집니다.", "最後の利用者です。終了するとVPNは停止します。"}
	tDoneOthers  = text{"1 other person still uses it; it stays on.|{n} others still use it; it stays on.", "다른 {n}명이 사용 중이라 계속 켜져 있습니다.", "ほかに{n}名が利用中のため動作を続けます。"}
	tOthers      = text{"1 other person uses it.|{n} others use it.", "다른 {n}명이 사용 중입니다.", "ほかに{n}名が利用中です。"}
	tLeave       = text{"You can close this page; it keeps going.", "이 페이지를 닫아도 계속 진행됩니다.", "このページを閉じても処理は続きます。"}
	tNext        = text{"Now press Connect in your VPN app.", "이제 VPN 앱에서 ‘연결’을 누르세요.", "VPNアプリで「接続」を押してください。"}
	tUnknown     = text{"We can't reach AWS now", "지금 상태를 확인할 수 없습니다", "現在、状態を確認できません"}
	tUnknownAt   = text{"At {at} it was: {state}.", "{at} 기준: {state}.", "{at}時点：{state}。"}
	tFailed      = text{"AWS could not turn it on.", "AWS에서 VPN을 켜지 못했습니다.", "AWSがVPNを開始できませんでした。"}
	tFailedDo    = text{"Try again in a few minutes. If it fails again, give your administrator the words below.", "몇 분 후 다시 시도하세요. 다시 실패하면 아래 내용을 관리자에게 전달하세요.", "数分後にもう一度お試しください。再び失敗する場合は、下の内容を管理者にお伝えください。"}
	tOf          = text{"{done} of {total}", "{total}개 중 {done}개", "{total}件中{done}件"}
	tUntilAt     = text{"{length} (until {until})", "{length} ({until}까지)", "{length}（{until}まで）"}
	tList        = text{"VPN endpoints", "VPN 목록", "VPN一覧"}
	tNotShown    = text{"Cannot be shown now", "지금 표시할 수 없습니다", "現在表示できません"}

	tPossibleFrom = text{"It is possible from {next}.", "{next}부터 가능합니다.", "{next}から可能です。"}
	tContact      = text{"Who can change that: {contact}.", "변경 문의: {contact}.", "変更の問い合わせ先：{contact}。"}
	tAskAdmin     = text{"Your administrator can change that; give them the number {id}.", "변경하려면 관리자에게 다음 번호를 알려 주세요: {id}.", "変更するには、番号{id}を管理者にお伝えください。"}
	tPaused       = text{"An administrator has paused it until {until}: nobody can turn it on, join or extend. Who uses it keeps it. {message}", "관리자가 {until}까지 일시 중지하여 켜기, 참여, 연장을 할 수 없습니다. 사용 중인 사람은 계속 사용할 수 있습니다. {message}", "管理者が{until}まで一時停止しており、開始、参加、延長はできません。利用中の人はそのまま利用できます。{message}"}
	tLeaving      = text{"You still have time on it; you can end that.", "아직 사용 시간이 남아 있으며, 종료할 수 있습니다.", "利用時間が残っています。終了することはできます。"}
	tIntent       = text{"You had to sign in first, and nothing has been done. If you still want it, press “{button}”.", "먼저 로그인해야 했으므로 아직 실행된 것은 없습니다. 계속하려면 ‘{button}’ 버튼을 누르세요.", "先にサインインが必要だったため、まだ何も実行されていません。続けるには「{button}」を押してください。"}
	tSignedOut    = text{"You have signed out here. Nothing of the VPN has changed.", "로그아웃했습니다. VPN에는 변경된 것이 없습니다.", "サインアウトしました。VPNには変更ありません。"}
	tSignIn       = text{"Sign in", "로그인", "サインイン"}
	tSignInAnew   = text{"Start again", "다시 시작", "最初からやり直す"}
	tAdmin        = text{"Administration", "관리", "管理"}

	tAllowed    = text{"Here only {methods} is possible.", "여기서는 {methods}만 사용할 수 있습니다.", "ここで使えるのは{methods}のみです。"}
	tWantsForm  = text{"Send application/x-www-form-urlencoded, as the page's forms do.", "페이지의 양식처럼 application/x-www-form-urlencoded 형식으로 보내세요.", "ページのフォームと同じapplication/x-www-form-urlencodedで送ってください。"}
	tWantsJSON  = text{"Send Content-Type: application/json, also with an empty body.", "본문이 비어 있어도 Content-Type: application/json 형식으로 보내세요.", "本文が空でもContent-Type: application/jsonで送ってください。"}
	tBadForm    = text{"The form could not be read. Go back and try again.", "양식을 읽을 수 없습니다. 뒤로 가서 다시 시도하세요.", "フォームを読み取れません。戻ってもう一度お試しください。"}
	tBadBody    = text{"The body could not be read to its end.", "본문을 끝까지 읽을 수 없습니다.", "本文を最後まで読み取れません。"}
	tBadJSON    = text{"The body must be one JSON object such as {allowed}, with strings as values.", "본문은 {allowed} 형식의 JSON 객체 하나여야 하며 값은 문자열이어야 합니다.", "本文は{allowed}のようなJSONオブジェクト1つで、値は文字列でなければなりません。"}
	tUnknownKey = text{"“{key}” is not known here, or there twice. Possible is {allowed}.", "알 수 없거나 중복된 키: “{key}”. 사용 가능: {allowed}.", "「{key}」は不明か重複したキーです。使用できるのは{allowed}です。"}
	tBadFor     = text{"“for” must be a length of time such as 30m or 2h, at most {max}.", "“for” 값은 30m, 2h 같은 시간이어야 합니다(최대 {max}).", "「for」は30mや2hのような時間で、最長{max}です。"}
	tBadReason  = text{"A reason is one line of at most {max} characters.", "사유는 한 줄, 최대 {max}자입니다.", "理由は1行、{max}文字以内です。"}
)

// What the problems of the table say.
var (
	wSignedOut = words{
		text{"You are signed out", "로그아웃되었습니다", "サインアウトしています"},
		text{"Your sign-in expired or is missing. The VPN itself is not affected. Sign in again.", "로그인이 만료되었거나 없습니다. VPN에는 영향이 없습니다. 다시 로그인하세요.", "サインインの有効期限が切れたか、サインインしていません。VPNには影響ありません。もう一度サインインしてください。"}}
	wSignInRefused = words{
		text{"Your sign-in was not accepted", "로그인이 인정되지 않았습니다", "サインインが認められませんでした"},
		text{"Sign in again. If it happens again, give your administrator the number {id}.", "다시 로그인하세요. 반복되면 관리자에게 다음 번호를 알려 주세요: {id}.", "もう一度サインインしてください。繰り返す場合は、番号{id}を管理者にお伝えください。"}}
	wSignInUnavailable = words{
		text{"Your sign-in cannot be checked now", "지금 로그인을 확인할 수 없습니다", "現在、サインインを確認できません"},
		text{"The load balancer's keys cannot be read. The VPN itself is not affected. Try again in a few seconds.", "로드 밸런서의 키를 읽을 수 없습니다. VPN에는 영향이 없습니다. 잠시 후 다시 시도하세요.", "ロードバランサーの鍵を取得できません。VPNには影響ありません。数秒後にもう一度お試しください。"}}
	wSignInLost = words{
		text{"This sign-in cannot be finished", "로그인을 마칠 수 없습니다", "サインインを完了できません"},
		text{"It was begun in another browser, took more than ten minutes, or was finished already. Start again. Cookies must be allowed.", "다른 브라우저에서 시작했거나, 10분이 지났거나, 이미 완료된 로그인입니다. 다시 시작하세요. 쿠키를 허용해야 합니다.", "別のブラウザーで開始されたか、10分を過ぎたか、すでに完了したサインインです。最初からやり直してください。Cookieの許可が必要です。"}}
	wIssuer = words{
		text{"Nobody can sign in now", "지금 로그인할 수 없습니다", "現在サインインできません"},
		text{"The sign-in service does not answer. The VPN itself is not affected. Try again in a few seconds.", "로그인 서비스가 응답하지 않습니다. VPN에는 영향이 없습니다. 잠시 후 다시 시도하세요.", "サインインのサービスが応答しません。VPNには影響ありません。数秒後にもう一度お試しください。"}}
	wPeople = words{
		text{"It cannot be checked now whether you may", "지금 권한을 확인할 수 없습니다", "現在、権限を確認できません"},
		text{"What is on stays on, and nothing was changed. Try again in a few seconds.", "켜져 있는 VPN은 유지되며 변경된 것은 없습니다. 잠시 후 다시 시도하세요.", "動作中のVPNはそのままで、何も変更されていません。数秒後にもう一度お試しください。"}}
	wTooMany = words{
		text{"That was too often", "요청이 너무 잦습니다", "操作の回数が多すぎます"},
		text{"This request changed nothing. Wait {wait} and try again.", "이 요청으로 변경된 것은 없습니다. {wait} 후 다시 시도하세요.", "この要求では何も変更されていません。{wait}待ってからもう一度お試しください。"}}
	wHeaders = words{
		text{"The request's header is too big", "요청 헤더가 너무 큽니다", "リクエストヘッダーが大きすぎます"},
		text{"At most 100 fields and 64 KB are read. Clearing this site's cookies may help.", "최대 100개 필드, 64KB까지 읽습니다. 이 사이트의 쿠키를 지우면 해결될 수 있습니다.", "読み取れるのは100項目、64KBまでです。このサイトのCookieを削除すると解決することがあります。"}}
	wLongAddress = words{
		text{"The address is too long", "주소가 너무 깁니다", "アドレスが長すぎます"},
		text{"At most 8 KB are read. Begin at the first page.", "최대 8KB까지 읽습니다. 첫 페이지에서 시작하세요.", "読み取れるのは8KBまでです。最初のページから始めてください。"}}
	wPaused = words{
		text{"An administrator has paused it", "관리자가 일시 중지했습니다", "管理者が一時停止しています"},
		text{"Nobody can turn it on, join or extend until {next}, or until the administrator allows it again. {message}", "{next}까지 또는 관리자가 다시 허용할 때까지 켜기, 참여, 연장을 할 수 없습니다. {message}", "{next}まで、または管理者が再び許可するまで、開始、参加、延長はできません。{message}"}}
	wLeaseGone = words{
		text{"That person's time has ended already", "이미 사용이 끝났습니다", "その人の利用はすでに終わっています"},
		text{"Nothing was changed. Go back and look who uses it now.", "변경된 것은 없습니다. 돌아가서 현재 사용 중인 사람을 확인하세요.", "何も変更されていません。戻って現在の利用者を確認してください。"}}
	wNoHold = words{
		text{"No order is in force", "적용 중인 지시가 없습니다", "有効な指示はありません"},
		text{"It has ended already, or somebody else has taken it back.", "이미 끝났거나 다른 관리자가 해제했습니다.", "すでに終わったか、ほかの管理者が解除しました。"}}
	wForbidden = words{
		text{"You may not use this", "사용 권한이 없습니다", "利用権限がありません"},
		text{"This account isn't in a group that is allowed to. Your administrator can change that; give them the number {id}.", "이 계정은 사용 권한이 있는 그룹에 속해 있지 않습니다. 관리자에게 문의하면서 다음 번호를 알려 주세요: {id}.", "このアカウントは利用を許可されたグループに属していません。番号{id}を添えて管理者にお問い合わせください。"}}
	wCrossSite = words{
		text{"Refused: this came from another site", "다른 사이트에서 온 요청이라 거부했습니다", "別のサイトからの要求のため拒否しました"},
		text{"Nothing was changed. Open the page here and press the button on it.", "변경된 것은 없습니다. 이 사이트의 페이지를 열고 버튼을 눌러 주세요.", "何も変更されていません。このサイトのページを開き、ボタンを押してください。"}}
	wStaleForm = words{
		text{"This form is out of date", "오래된 양식입니다", "フォームの有効期限が切れています"},
		text{"Nothing was changed. Go back to the page, reload it and press the button again. Cookies must be allowed.", "변경된 것은 없습니다. 페이지로 돌아가 새로 고친 뒤 버튼을 다시 누르세요. 쿠키를 허용해야 합니다.", "何も変更されていません。ページに戻って再読み込みし、もう一度ボタンを押してください。Cookieの許可が必要です。"}}
	wNoEndpoint = words{
		text{"There is no such VPN", "해당 VPN이 없습니다", "該当するVPNはありません"},
		text{"These exist: {names}.", "사용 가능한 이름: {names}.", "存在する名前：{names}。"}}
	wNoPage = words{
		text{"There is no such page", "페이지가 없습니다", "ページがありません"},
		text{"Check the address, or begin at the first page.", "주소를 확인하거나 첫 페이지에서 시작하세요.", "アドレスを確認するか、最初のページから始めてください。"}}
	wMethod = words{
		text{"Not possible in this way", "이 방법으로는 할 수 없습니다", "この方法では実行できません"},
		text{"The request's method does not fit the address.", "요청 메서드가 주소와 맞지 않습니다.", "リクエストのメソッドがアドレスに合いません。"}}
	wTooBig = words{
		text{"Too much was sent", "보낸 내용이 너무 큽니다", "送信内容が大きすぎます"},
		text{"At most 64 KB are read.", "최대 64KB까지 읽습니다.", "読み取れるのは64KBまでです。"}}
	wMediaType = words{
		text{"Sent in a form that is not understood", "이해할 수 없는 형식입니다", "理解できない形式です"},
		text{"The Content-Type is not one that is read here.", "이 Content-Type은 처리할 수 없습니다.", "このContent-Typeは扱えません。"}}
	wBadRequest = words{
		text{"That was not understood", "요청을 이해할 수 없습니다", "要求を理解できません"},
		text{"Check what you entered. A length of time is at most {max}.", "입력한 내용을 확인하세요. 시간은 최대 {max}입니다.", "入力内容を確認してください。時間は最長{max}です。"}}
	wTooLong = words{
		text{"That is longer than is allowed", "허용된 시간을 넘습니다", "許可された時間を超えています"},
		text{"At most {max} at a time, and never past the end of this opening. Choose less.", "한 번에 최대 {max}이며 이번 사용의 종료 시각을 넘을 수 없습니다. 더 짧게 선택하세요.", "一度に最長{max}で、今回の終了時刻を超えることはできません。短い時間を選んでください。"}}
	wNoLease = words{
		text{"You are not using it", "사용 중이 아닙니다", "利用中ではありません"},
		text{"Your time has ended, or you have not asked for any. Turn it on or join first. It is: {state}.", "사용 시간이 끝났거나 신청하지 않았습니다. 먼저 켜거나 참여하세요. 현재 상태: {state}.", "利用時間が終わったか、申請していません。先に開始または参加してください。現在の状態：{state}。"}}
	wOwn = words{
		text{"This is your own time", "본인의 사용 시간입니다", "ご自身の利用時間です"},
		text{"Extend or end it as everybody does, on the VPN's own page.", "다른 사람과 마찬가지로 해당 VPN 페이지에서 연장하거나 종료하세요.", "ほかの人と同じく、そのVPNのページで延長または終了してください。"}}
	wNotReady = words{
		text{"The VPN cannot be turned on now", "지금은 VPN을 켤 수 없습니다", "現在VPNを開始できません"},
		text{"It must be off and complete at AWS; it is: {state}. Ask your administrator.", "AWS에서 켤 수 있는 상태가 아닙니다. 현재 상태: {state}. 관리자에게 문의하세요.", "AWS側で開始できる状態ではありません。現在の状態：{state}。管理者にお問い合わせください。"}}
	wReason = words{
		text{"A reason is needed", "사유를 입력해야 합니다", "理由が必要です"},
		text{"Go back and write in one line what you need it for.", "뒤로 가서 사용 목적을 한 줄로 입력하세요.", "戻って、利用目的を1行で入力してください。"}}
	wObserving = words{
		text{"This VPN is only watched here", "이 VPN은 상태만 확인할 수 있습니다", "このVPNは監視のみです"},
		text{"Nightlatch does not turn it on or off. Ask your administrator.", "Nightlatch로 켜거나 끌 수 없습니다. 관리자에게 문의하세요.", "Nightlatchでは開始・停止できません。管理者にお問い合わせください。"}}
	wHeld = words{
		text{"An administrator keeps it off", "관리자가 꺼 두었습니다", "管理者が停止しています"},
		text{"It can be turned on from {next}, or when the administrator allows it again.", "{next} 이후 또는 관리자가 다시 허용하면 켤 수 있습니다.", "{next}以降、または管理者が再び許可したときに開始できます。"}}
	wHours = words{
		text{"Not at this hour", "지금은 사용 가능한 시간대가 아닙니다", "現在は利用可能な時間帯ではありません"},
		text{"It can be turned on from {next}. Your administrator sets the hours.", "{next}부터 켤 수 있습니다. 시간대는 관리자가 정합니다.", "{next}から開始できます。時間帯は管理者が設定しています。"}}
	wTooEarly = words{
		text{"Not possible yet", "아직 할 수 없습니다", "まだ実行できません"},
		text{"It is: {state}. Try again in a moment.", "현재 상태: {state}. 잠시 후 다시 시도하세요.", "現在の状態：{state}。しばらくしてからお試しください。"}}
	wUnknownToAWS = words{
		text{"AWS does not know this VPN", "AWS에 해당 VPN이 없습니다", "AWSに該当するVPNがありません"},
		text{"The configuration names something that is not there. Give your administrator the number {id}.", "설정된 대상이 AWS에 없습니다. 관리자에게 다음 번호를 알려 주세요: {id}.", "設定された対象がAWSに存在しません。番号{id}を管理者にお伝えください。"}}
	wRefused = words{
		text{"AWS refused", "AWS에서 거부했습니다", "AWSが拒否しました"},
		text{"Trying again will not help. Give your administrator AWS's words and the number {id}.", "다시 시도해도 해결되지 않습니다. AWS의 메시지와 다음 번호를 관리자에게 전달하세요: {id}.", "再試行しても解決しません。AWSのメッセージと番号{id}を管理者にお伝えください。"}}
	wBusy = words{
		text{"AWS is busy", "AWS가 혼잡합니다", "AWSが混雑しています"},
		text{"Nothing is lost. Try again in ten seconds.", "잃어버린 것은 없습니다. 10초 후 다시 시도하세요.", "失われたものはありません。10秒後にもう一度お試しください。"}}
	wConflict = words{
		text{"Many people pressed at once", "여러 사람이 동시에 요청했습니다", "複数の人が同時に操作しました"},
		text{"Yours did not get through. Try again now.", "요청이 처리되지 않았습니다. 지금 다시 시도하세요.", "処理されませんでした。もう一度お試しください。"}}
	wUnavailable = words{
		text{"We can't reach AWS now", "지금 AWS에 연결할 수 없습니다", "現在AWSに接続できません"},
		text{"What is on stays on for now. Try again in a moment; if it lasts, give your administrator the number {id}.", "켜져 있는 VPN은 당분간 유지됩니다. 잠시 후 다시 시도하고, 계속되면 관리자에게 다음 번호를 알려 주세요: {id}.", "動作中のVPNは当面そのまま続きます。しばらくしてからお試しください。続く場合は番号{id}を管理者にお伝えください。"}}
	wInternal = words{
		text{"Something went wrong", "문제가 발생했습니다", "問題が発生しました"},
		text{"It is not your fault. Try again; if it happens again, give your administrator the number {id}.", "사용자의 잘못이 아닙니다. 다시 시도하고, 반복되면 관리자에게 다음 번호를 알려 주세요: {id}.", "お客様の操作の問題ではありません。もう一度お試しください。繰り返す場合は番号{id}を管理者にお伝えください。"}}
)

// labels are the fixed texts of the templates, said in one language. It is filled without field names, so that a label
// without its words does not compile.
type labels struct {
	Skip, CheckAgain, Languages, SignedInAs, SignOut, SignInAgain string
	Expired, Offline, Paused, Reason, ReasonMust                  string
	ReasonHint, Words                                             string
	Step, Started, YourEnd, Portal, Cancel, Countdown, Back       string
	StepDone, StepNow, StepNext, RequestID, Endpoints, AllOfThem  string
}

func labelsIn(l lang) labels {
	s := func(t text) string { return t.say(l) }
	return labels{
		s(text{"Skip to content", "본문으로 건너뛰기", "本文へスキップ"}), // Skip
		s(text{"Check again", "다시 확인", "再確認"}),             // CheckAgain
		s(text{"Language", "언어", "言語"}),                    // Languages
		s(text{"Signed in as", "로그인 계정:", "サインイン中："}),      // SignedInAs
		s(text{"Sign out", "로그아웃", "サインアウト"}),              // SignOut
		s(text{"Sign in again", "다시 로그인", "再度サインイン"}),      // SignInAgain
		s(text{"Your sign-in expired. The VPN itself is not affected.", "로그인이 만료되었습니다. VPN에는 영향이 없습니다.", "サインインの有効期限が切れました。VPNには影響ありません。"}),            // Expired
		s(text{"We can't check right now; trying again. This is how it was at", "지금 확인할 수 없어 다시 시도하고 있습니다. 마지막 확인 시각:", "現在確認できないため再試行しています。最終確認時刻："}), // Offline
		s(text{"Paused. Press to check again", "일시 중지되었습니다. 눌러서 다시 확인", "一時停止中です。押すと再確認します"}),                                                          // Paused
		s(text{"Reason (optional)", "사유(선택)", "理由（任意）"}),                                                         // Reason
		s(text{"Reason (required)", "사유(필수)", "理由（必須）"}),                                                         // ReasonMust
		s(text{"Others with access to the records can read it.", "기록을 볼 수 있는 사람에게 표시됩니다.", "記録を閲覧できる人に表示されます。"}), // ReasonHint
		s(text{"What AWS said", "AWS 메시지", "AWSのメッセージ"}),                                                         // Words
		s(text{"Steps", "진행 단계", "進行状況"}),                                                                        // Step
		s(text{"Started", "시작", "開始"}),                                                                           // Started
		s(text{"Yours until", "내 사용 종료", "あなたの利用終了"}),                                                            // YourEnd
		s(text{"Get the VPN app and its configuration", "VPN 앱과 구성 파일 받기", "VPNアプリと設定ファイルを入手"}),                  // Portal
		s(text{"Cancel", "취소", "キャンセル"}),                                                                         // Cancel
		s(text{"Turning on in (seconds):", "자동으로 켜기까지(초):", "自動開始まで（秒）："}),                                       // Countdown
		s(text{"Back to the page", "페이지로 돌아가기", "ページに戻る"}),                                                       // Back
		s(text{"done", "완료", "完了"}),                                                                              // StepDone
		s(text{"in progress", "진행 중", "進行中"}),                                                                    // StepNow
		s(text{"still to come", "대기", "これから"}),                                                                   // StepNext
		s(text{"Number of this request", "요청 번호", "リクエスト番号"}),                                                    // RequestID
		s(text{"VPN endpoints", "VPN 목록", "VPN一覧"}),                                                              // Endpoints
		s(text{"All endpoints", "전체 목록", "すべて"}),                                                                 // AllOfThem
	}
}

const langCookie = "__Host-nightlatch-lang"

// language is what ?lang= says, which is remembered, else what was remembered, else what the browser prefers.
func (h *handler) language(w http.ResponseWriter, r *http.Request) lang {
	known := func(s string) (lang, bool) {
		for l := range langs {
			if s == l.String() {
				return l, true
			}
		}
		return en, false
	}
	if strings.Contains(r.URL.RawQuery, "lang=") {
		if l, ok := known(r.URL.Query().Get("lang")); ok {
			http.SetCookie(w, &http.Cookie{Name: langCookie, Value: l.String(), Path: "/", MaxAge: 365 * 24 * 3600, Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode})
			return l
		}
	}
	if c, err := r.Cookie(langCookie); err == nil {
		if l, ok := known(c.Value); ok {
			return l
		}
	}
	accept := r.Header.Get("Accept-Language")
	if accept == "" || len(accept) > 200 {
		return en
	}
	tags, _, err := language.ParseAcceptLanguage(accept)
	if err != nil {
		return en
	}
	_, i, _ := language.NewMatcher(langTags).Match(tags...)
	return lang(i)
}

func reasonText(l lang, r latch.Reason, loc *time.Location, now time.Time) string {
	return strings.TrimSpace(reasonSay[r.Code].say(l, "{until}", clock(l, r.Until, loc, now), "{done}", fmt.Sprint(r.Done), "{total}", fmt.Sprint(r.Total), "{status}", string(r.Status), "{message}", r.Message))
}

// ReasonText is why an endpoint is as it is, as the page says it. language is a tag, "en", "ko" or "ja"; any other is
// English.
func ReasonText(language string, r latch.Reason, loc *time.Location, now time.Time) string {
	for l := range langs {
		if l.String() == language {
			return reasonText(l, r, loc, now)
		}
	}
	return reasonText(en, r, loc, now)
}

// clock is a time as people of that language write it, with the zone's name, and with the date unless it is today.
func clock(l lang, t time.Time, loc *time.Location, now time.Time) string {
	t, now = t.In(loc), now.In(loc)
	s := t.Format("15:04 ") + zoneName(t)
	if t.YearDay() == now.YearDay() && t.Year() == now.Year() {
		return s
	}
	day := [langs]string{t.Format("Mon 2 Jan "),
		t.Format("1월 2일(") + string([]rune("일월화수목금토")[t.Weekday()]) + ") ",
		t.Format("1月2日(") + string([]rune("日月火水木金土")[t.Weekday()]) + ") "}
	return day[l] + s
}

func zoneName(t time.Time) string {
	zone, _ := t.Zone()
	if strings.HasPrefix(zone, "+") || strings.HasPrefix(zone, "-") { // a zone without a name of its own
		zone = "UTC" + zone
	}
	return zone
}

// lengthOf is a length of time in words: hours, minutes and seconds, those that are not nothing.
func lengthOf(l lang, d time.Duration) string {
	var parts []string
	for _, u := range []struct {
		n    time.Duration
		name text
	}{
		{d / time.Hour, text{"1 hour|{n} hours", "{n}시간", "{n}時間"}},
		{d % time.Hour / time.Minute, text{"1 minute|{n} minutes", "{n}분", "{n}分"}},
		{d % time.Minute / time.Second, text{"1 second|{n} seconds", "{n}초", "{n}秒"}},
	} {
		if u.n > 0 {
			parts = append(parts, u.name.count(l, int(u.n)))
		}
	}
	return strings.Join(parts, text{" ", " ", ""}.say(l))
}

// progressText says how much longer it takes, honestly.
func progressText(l lang, p latch.Progress) string {
	left := between(l, p.Left)
	switch {
	case p.Stuck:
		return tStuck.say(l)
	case p.Slow && p.Left.To == 0:
		return tSlow.say(l)
	case p.Slow:
		return tSlow.say(l) + " " + tLeft.say(l, "{left}", left, "{n}", fmt.Sprint(p.Samples))
	case p.Samples == 0:
		return tLeftUsual.say(l, "{left}", left)
	}
	return tLeft.say(l, "{left}", left, "{n}", fmt.Sprint(p.Samples))
}

// between is a range in words, or one length where both ends come to the same.
func between(l lang, r latch.Range) string {
	from, to := roughly(r.From), roughly(r.To)
	if from == to || from == 0 {
		return lengthOf(l, to)
	}
	return tBetween.say(l, "{from}", lengthOf(l, from), "{to}", lengthOf(l, to))
}

// roughly rounds up, to what an estimate is good for: minutes, and fives of seconds below a minute and a half.
func roughly(d time.Duration) time.Duration {
	unit := time.Minute
	if d < 90*time.Second {
		unit = 5 * time.Second
	}
	return (d + unit - 1).Truncate(unit)
}

// relative is how far t is from now, in the words of the browser's Intl.RelativeTimeFormat, which goes on counting.
func relative(l lang, t, now time.Time) string {
	d := t.Sub(now)
	ahead := d > 0
	if !ahead {
		d = -d
	}
	var n int
	var ago, in text
	switch {
	case d < time.Minute:
		n = max(5, int(d/(5*time.Second))*5) // in fives: nobody needs to see seconds tick
		in = text{"in 1 second|in {n} seconds", "{n}초 후", "{n} 秒後"}
		ago = text{"1 second ago|{n} seconds ago", "{n}초 전", "{n} 秒前"}
	case d < 90*time.Minute:
		n = int(d / time.Minute)
		if ahead {
			n = int((d + time.Minute - 1) / time.Minute)
		}
		in = text{"in 1 minute|in {n} minutes", "{n}분 후", "{n} 分後"}
		ago = text{"1 minute ago|{n} minutes ago", "{n}분 전", "{n} 分前"}
	default:
		n = int(d.Round(time.Hour) / time.Hour)
		in = text{"in 1 hour|in {n} hours", "{n}시간 후", "{n} 時間後"}
		ago = text{"1 hour ago|{n} hours ago", "{n}시간 전", "{n} 時間前"}
	}
	if ahead {
		return in.count(l, n)
	}
	return ago.count(l, n)
}
