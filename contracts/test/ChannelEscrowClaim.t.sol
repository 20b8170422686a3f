// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ChannelEscrow} from "../src/ChannelEscrow.sol";
import {IChannelEscrow} from "../src/IChannelEscrow.sol";
import {ChannelEscrowFixture} from "./support/ChannelEscrowFixture.sol";
import {ContractWallet} from "./support/ChannelEscrowMocks.sol";

/// @notice Vouchers become the receiver's money: whose signature counts, how often, and for how much.
contract ChannelEscrowClaimTest is ChannelEscrowFixture {
    uint256 private constant ORDER = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141;

    IChannelEscrow.ChannelConfig private _one;

    function setUp() public override {
        super.setUp();
        _one = _config(0);
        _deposit(_one, DEPOSIT);
    }

    function test_claim_and_settle() public {
        bytes32 channelId = escrow.getChannelId(_one);
        vm.expectEmit(true, true, true, true, address(escrow));
        emit IChannelEscrow.Claimed(channelId, receiverAuthorizer, CLAIM, CLAIM);
        _claim(_row(_one, CLAIM));
        _channel(_one, DEPOSIT, CLAIM);
        _receiver(CLAIM, 0);
        _equal(token.balanceOf(receiver), 0, "a claim moves nothing");

        vm.expectEmit(true, true, true, true, address(escrow));
        emit IChannelEscrow.Settled(receiver, address(token), address(this), CLAIM);
        escrow.settle(receiver, address(token));
        _receiver(CLAIM, CLAIM);
        _equal(token.balanceOf(receiver), CLAIM, "paid");

        vm.recordLogs();
        escrow.settle(receiver, address(token));
        _equal(vm.getRecordedLogs().length, 0, "nothing due, nothing done");
    }

    function test_a_voucher_pays_once() public {
        IChannelEscrow.VoucherClaim memory row = _row(_one, CLAIM);
        _claim(row);
        vm.recordLogs();
        _claim(row);
        _claim(_row(_one, CLAIM - 1));
        _equal(vm.getRecordedLogs().length, 0, "superseded vouchers do nothing");
        _claim(_row(_one, CLAIM + 1));
        _channel(_one, DEPOSIT, CLAIM + 1);
        _receiver(CLAIM + 1, 0);
    }

    function test_one_call_may_name_a_channel_twice() public {
        IChannelEscrow.VoucherClaim[] memory rows = new IChannelEscrow.VoucherClaim[](3);
        rows[0] = _row(_one, CLAIM);
        rows[1] = _row(_one, CLAIM);
        rows[2] = _row(_one, 2 * CLAIM);
        vm.prank(receiver);
        escrow.claim(rows);
        _receiver(2 * CLAIM, 0);
    }

    function test_claim_less_than_the_voucher() public {
        _claim(_row(_one, 2 * CLAIM, CLAIM, payerAuthorizerKey));
        _channel(_one, DEPOSIT, CLAIM);
        _claim(_row(_one, 2 * CLAIM, 2 * CLAIM, payerAuthorizerKey));
        _channel(_one, DEPOSIT, 2 * CLAIM);
    }

    function test_refuses_more_than_voucher_or_channel() public {
        _refused(
            _row(_one, CLAIM, CLAIM + 1, payerAuthorizerKey), IChannelEscrow.ClaimExceedsCeiling.selector
        );
        _refused(_row(_one, DEPOSIT + 1), IChannelEscrow.ClaimExceedsBalance.selector);
        _refused(_row(_config("unfunded"), 1), IChannelEscrow.ClaimExceedsBalance.selector);
        _claim(_row(_one, type(uint128).max, DEPOSIT, payerAuthorizerKey));
    }

    function test_one_bad_row_refuses_all() public {
        IChannelEscrow.VoucherClaim[] memory rows = new IChannelEscrow.VoucherClaim[](2);
        rows[0] = _row(_one, CLAIM);
        rows[1] = _row(_one, 2 * CLAIM, 2 * CLAIM, payerKey);
        vm.prank(receiver);
        vm.expectRevert(IChannelEscrow.InvalidSignature.selector);
        escrow.claim(rows);
        _channel(_one, DEPOSIT, 0);
    }

    function test_refuses_an_empty_claim() public {
        IChannelEscrow.VoucherClaim[] memory rows;
        vm.expectRevert(IChannelEscrow.EmptyBatch.selector);
        escrow.claim(rows);
        vm.expectRevert(IChannelEscrow.EmptyBatch.selector);
        escrow.claimWithSignature(rows, "");
    }

    function testFuzz_only_the_receivers_side_claims(address caller) public {
        vm.assume(caller != receiver && caller != receiverAuthorizer);
        IChannelEscrow.VoucherClaim[] memory rows = _rows(_row(_one, CLAIM));
        vm.prank(caller);
        vm.expectRevert(IChannelEscrow.NotAuthorizedToClaim.selector);
        escrow.claim(rows);
    }

    /// @dev With a payer authorizer not even the payer's own key counts.
    function testFuzz_only_the_payer_authorizer_signs(uint256 key) public {
        key = _within(key, 1, ORDER - 1);
        vm.assume(key != payerAuthorizerKey);
        _refused(_row(_one, CLAIM, CLAIM, key), IChannelEscrow.InvalidSignature.selector);
        _refused(_row(_one, CLAIM, CLAIM, payerKey), IChannelEscrow.InvalidSignature.selector);
    }

    function testFuzz_a_signature_covers_its_amount(uint128 signed, uint128 shown) public {
        vm.assume(signed != shown && shown != 0);
        shown = uint128(_within(shown, 1, DEPOSIT));
        vm.assume(signed != shown);
        IChannelEscrow.VoucherClaim memory row = _row(_one, signed, shown, payerAuthorizerKey);
        row.voucher.maxClaimableAmount = shown;
        _refused(row, IChannelEscrow.InvalidSignature.selector);
    }

    function test_refuses_signatures_of_elsewhere() public {
        // Another channel.
        IChannelEscrow.VoucherClaim memory row = _row(_config("other"), CLAIM);
        row.voucher.channel = _one;
        _refused(row, IChannelEscrow.InvalidSignature.selector);
        // Another escrow: the digest for this channel's id there.
        bytes32 channelId = escrow.getChannelId(_one);
        row = _row(_one, CLAIM);
        row.signature = _sign(
            payerAuthorizerKey, ChannelEscrow(_deploy("ChannelEscrow", "")).getVoucherDigest(channelId, CLAIM)
        );
        _refused(row, IChannelEscrow.InvalidSignature.selector);
        // Another chain, with this chain's channel id.
        vm.chainId(999);
        row.signature = _sign(payerAuthorizerKey, escrow.getVoucherDigest(channelId, CLAIM));
        vm.chainId(31337);
        _refused(row, IChannelEscrow.InvalidSignature.selector);
    }

    /// @dev After a fork, vouchers of the one chain are void on the other: the channel has another id there.
    function test_a_fork_takes_its_vouchers_along() public {
        IChannelEscrow.VoucherClaim memory row = _row(_one, CLAIM);
        vm.chainId(999);
        _refused(row, IChannelEscrow.ClaimExceedsBalance.selector);
    }

    function test_refuses_malleable_and_malformed_signatures() public {
        IChannelEscrow.VoucherClaim memory row = _row(_one, CLAIM);
        bytes memory good = row.signature;
        bytes32 r;
        bytes32 s;
        uint8 v;
        assembly ("memory-safe") {
            r := mload(add(good, 0x20))
            s := mload(add(good, 0x40))
            v := byte(0, mload(add(good, 0x60)))
        }
        row.signature = abi.encodePacked(r, bytes32(ORDER - uint256(s)), v == 27 ? uint8(28) : uint8(27));
        _refused(row, IChannelEscrow.InvalidSignature.selector);
        row.signature = abi.encodePacked(r, s, v - 27);
        _refused(row, IChannelEscrow.InvalidSignature.selector);
        row.signature = abi.encodePacked(good, uint8(0));
        _refused(row, IChannelEscrow.InvalidSignature.selector);
        row.signature = abi.encodePacked(r, bytes32(uint256(s) | uint256(v - 27) << 255));
        _refused(row, IChannelEscrow.InvalidSignature.selector);
        row.signature = "";
        _refused(row, IChannelEscrow.InvalidSignature.selector);
        row.signature = new bytes(65);
        _refused(row, IChannelEscrow.InvalidSignature.selector);
        row.signature = good;
        _claim(row);
    }

    /// @dev What recovers to no key at all is not the signature of a channel without payer authorizer.
    function testFuzz_nobody_is_no_signer(bytes32 r, bytes32 s, uint8 v) public {
        IChannelEscrow.ChannelConfig memory config = _config("open");
        config.payerAuthorizer = address(0);
        _deposit(config, DEPOSIT);
        IChannelEscrow.VoucherClaim memory row = _row(config, CLAIM, CLAIM, payerKey);
        row.signature = abi.encodePacked(r, s, v);
        _refused(row, IChannelEscrow.InvalidSignature.selector);
    }

    function test_a_payer_without_authorizer_signs_itself() public {
        IChannelEscrow.ChannelConfig memory config = _config("open");
        config.payerAuthorizer = address(0);
        _deposit(config, DEPOSIT);
        _refused(_row(config, CLAIM), IChannelEscrow.InvalidSignature.selector);
        _claim(_row(config, CLAIM, CLAIM, payerKey));
        _channel(config, DEPOSIT, CLAIM);
    }

    /// @dev An account that delegates to code (EIP-7702) keeps its key, and so its word.
    function test_code_at_the_payer_takes_nothing_back() public {
        IChannelEscrow.ChannelConfig memory config = _config("open");
        config.payerAuthorizer = address(0);
        _deposit(config, DEPOSIT);
        ContractWallet wallet = new ContractWallet(receiver);
        wallet.close();
        vm.etch(payer, address(wallet).code);
        _claim(_row(config, CLAIM, CLAIM, payerKey));
        _channel(config, DEPOSIT, CLAIM);
    }

    function test_a_contract_wallet_pays() public {
        (IChannelEscrow.ChannelConfig memory config,) = _walletChannel();
        _refused(_row(config, CLAIM, CLAIM, receiverKey), IChannelEscrow.InvalidSignature.selector);
        _claim(_row(config, CLAIM, CLAIM, payerKey));
        vm.snapshotGasLastCall("ChannelEscrow", "claim_1_voucher_erc1271");
        _channel(config, DEPOSIT, CLAIM);
    }

    /// @dev Why a receiver should ask for a payer authorizer.
    function test_a_contract_wallet_can_take_back_its_word() public {
        (IChannelEscrow.ChannelConfig memory config, ContractWallet wallet) = _walletChannel();
        IChannelEscrow.VoucherClaim memory row = _row(config, CLAIM, CLAIM, payerKey);
        wallet.close();
        _refused(row, IChannelEscrow.InvalidSignature.selector);
    }

    function test_claim_by_signature() public {
        IChannelEscrow.VoucherClaim[] memory rows = new IChannelEscrow.VoucherClaim[](2);
        _deposit(_config("two"), DEPOSIT);
        rows[0] = _row(_one, CLAIM);
        rows[1] = _row(_config("two"), 2 * CLAIM);
        bytes memory signature = _sign(receiverAuthorizerKey, escrow.getClaimBatchDigest(rows));
        escrow.claimWithSignature(rows, signature);
        _receiver(3 * CLAIM, 0);
        escrow.claimWithSignature(rows, signature);
        _receiver(3 * CLAIM, 0);
    }

    function test_claim_by_signature_of_a_contract() public {
        ContractWallet wallet = new ContractWallet(receiver);
        IChannelEscrow.ChannelConfig memory config = _config("wallet");
        config.receiverAuthorizer = address(wallet);
        _deposit(config, DEPOSIT);
        IChannelEscrow.VoucherClaim[] memory rows = _rows(_row(config, CLAIM));
        bytes32 digest = escrow.getClaimBatchDigest(rows);
        vm.expectRevert(IChannelEscrow.InvalidSignature.selector);
        escrow.claimWithSignature(rows, _sign(payerKey, digest));
        escrow.claimWithSignature(rows, _sign(receiverKey, digest));
        _receiver(CLAIM, 0);
    }

    function test_claim_by_signature_covers_every_row() public {
        IChannelEscrow.VoucherClaim[] memory rows = _rows(_row(_one, 2 * CLAIM, CLAIM, payerAuthorizerKey));
        bytes memory signature = _sign(receiverAuthorizerKey, escrow.getClaimBatchDigest(rows));
        rows[0].totalClaimed = CLAIM + 1;
        vm.expectRevert(IChannelEscrow.InvalidSignature.selector);
        escrow.claimWithSignature(rows, signature);
        _channel(_one, DEPOSIT, 0);
        // The receiver's own key is not the authorizer's.
        signature = _sign(receiverKey, escrow.getClaimBatchDigest(rows));
        vm.expectRevert(IChannelEscrow.InvalidSignature.selector);
        escrow.claimWithSignature(rows, signature);
    }

    function test_claim_by_signature_has_one_authorizer() public {
        IChannelEscrow.ChannelConfig memory other = _config("other");
        other.receiverAuthorizer = receiver;
        _deposit(other, DEPOSIT);
        IChannelEscrow.VoucherClaim[] memory rows = new IChannelEscrow.VoucherClaim[](2);
        rows[0] = _row(_one, CLAIM);
        rows[1] = _row(other, CLAIM);
        bytes memory signature = _sign(receiverAuthorizerKey, escrow.getClaimBatchDigest(rows));
        vm.expectRevert(IChannelEscrow.NotReceiverAuthorizer.selector);
        escrow.claimWithSignature(rows, signature);
    }

    function test_receivers_are_apart() public {
        IChannelEscrow.ChannelConfig memory other = _config("other");
        other.receiver = address(0xcafe);
        _deposit(other, DEPOSIT);
        IChannelEscrow.VoucherClaim[] memory rows = new IChannelEscrow.VoucherClaim[](2);
        rows[0] = _row(_one, CLAIM);
        rows[1] = _row(other, 2 * CLAIM);
        vm.prank(receiverAuthorizer);
        escrow.claim(rows);
        escrow.settle(address(0xcafe), address(token));
        _equal(token.balanceOf(address(0xcafe)), 2 * CLAIM, "the other's");
        _equal(token.balanceOf(receiver), 0, "not settled yet");
        _receiver(CLAIM, 0);
    }

    function _receiver(uint256 claimed, uint256 settled) private view {
        (uint128 isClaimed, uint128 isSettled) = escrow.receivers(receiver, address(token));
        _equal(isClaimed, claimed, "receiver's claimed");
        _equal(isSettled, settled, "receiver's settled");
    }

    function _walletChannel()
        private
        returns (IChannelEscrow.ChannelConfig memory config, ContractWallet wallet)
    {
        wallet = new ContractWallet(payer);
        token.mint(address(wallet), DEPOSIT);
        wallet.execute(address(token), abi.encodeCall(token.approve, (address(escrow), DEPOSIT)));
        config = _config("wallet");
        config.payer = address(wallet);
        config.payerAuthorizer = address(0);
        wallet.execute(address(escrow), abi.encodeCall(escrow.deposit, (config, DEPOSIT, address(0), "")));
    }

    function _refused(IChannelEscrow.VoucherClaim memory row, bytes4 why) private {
        vm.prank(receiver);
        vm.expectRevert(why);
        escrow.claim(_rows(row));
    }
}
