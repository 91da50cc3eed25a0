package notify

import (
	"fmt"
	"strings"
	"time"

	"github.com/nightlatch/nightlatch/internal/latch"
)

var languages = [...]string{"en", "ko", "ja"}

// texts are said by kind, in the order of languages. {title}, {until}, {reason}, {who} and {words} are parameters; Korean puts
// no particle after one.
var texts = map[latch.NoticeKind][len(languages)]string{
	latch.NoticeReady:    {"{title}: the VPN is ready.", "{title}: VPN을 사용할 수 있습니다.", "{title}：VPNを利用できます。"},
	latch.NoticeSoon:     {"{title}: the VPN turns off at {until} unless somebody extends it.", "{title}: 연장하지 않으면 {until}에 VPN이 꺼집니다.", "{title}：延長しない場合、{until}にVPNが停止します。"},
	latch.NoticeOvertime: {"{title}: the time asked for has ended, but the VPN is still in use. It stays on until {until} at most.", "{title}: 신청한 시간이 끝났지만 아직 사용 중입니다. 늦어도 {until}에 VPN이 꺼집니다.", "{title}：申請された時間は終わりましたが、まだ利用されています。遅くとも{until}にVPNが停止します。"},
	latch.NoticeClosed:   {"{title}: the VPN is off. {reason}", "{title}: VPN이 꺼졌습니다. {reason}", "{title}：VPNが停止しました。{reason}"},
	latch.NoticeFailed:   {"{title}: AWS could not connect the network; it is being tried again. AWS said: {words}", "{title}: AWS에서 네트워크를 연결하지 못해 다시 시도하고 있습니다. AWS 메시지: {words}", "{title}：AWSがネットワークを接続できなかったため、再試行しています。AWSのメッセージ：{words}"},
	latch.NoticeStuck:    {"{title}: this takes longer at AWS than it ever did. Nightlatch goes on trying; somebody should look.", "{title}: AWS 처리에 지금까지 가장 오래 걸리고 있습니다. 계속 시도 중이지만 확인이 필요합니다.", "{title}：AWSでの処理にこれまでで最も時間がかかっています。処理は続いていますが、確認が必要です。"},

	latch.NoticeBreakGlass: {"{title}: {who} turned the VPN on in an emergency, outside hours, orders and rules, until {until}. Reason: {words}", "{title}: {who} 님이 긴급 상황으로 시간대, 관리자 지시, 규칙과 관계없이 {until}까지 VPN을 켰습니다. 사유: {words}", "{title}：{who}さんが緊急のため、時間帯・管理者の指示・規則によらず{until}までVPNを開始しました。理由：{words}"},
}

// text is the message. The page's address stands on a line of its own.
func (s *Sender) text(n latch.Notice, e Endpoint) (string, error) {
	t := texts[n.Kind][s.lang]
	if t == "" {
		return "", fmt.Errorf("no words for a notice of kind %q", n.Kind)
	}
	reason := ""
	if n.Reason != "" {
		reason = s.c.Reason(n.Reason)
	}
	t = strings.TrimSpace(strings.NewReplacer("{title}", escape(e.Title), "{until}", clock(n.Until, e.Location), "{reason}", reason, "{who}", escape(n.Who), "{words}", escape(n.Words)).Replace(t))
	if page := s.page(e); page != "" {
		t += "\n" + page
	}
	return t, nil
}

// escape makes the three characters harmless that Slack reads as markup ("Formatting text for app surfaces").
func escape(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(s)
}

func clock(t time.Time, loc *time.Location) string {
	if t.IsZero() {
		return ""
	}
	return t.In(loc).Format("15:04 MST")
}
